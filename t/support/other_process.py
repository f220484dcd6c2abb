"""A simulated second process, for tests of the queues and handlers of this process."""

import pytest
from engine.feed import Clients
from message_queue.fakes import turn
from support.delayed import Delayed, Store

from tatsumaki_py import MessageQueue


@pytest.fixture
def other_process(io_loop):
    """The presence of a second process, whose `clients` are fakes; the queues are the first one."""
    store = Store()
    here, there = Delayed(store, together=True), Delayed(store, seed=1, together=True)
    there.presence.connect(Clients())
    MessageQueue.configure(here)
    yield there.presence

    async def end():
        MessageQueue.reset()
        await turn(20)
        await here.close()
        await there.close()

    io_loop.run_sync(end)

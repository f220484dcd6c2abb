"""A process that was forked while the event loop ran has copies of the queues, and no client."""

import asyncio
import os

import pytest
from message_queue.fakes import Taker
from support.forked import in_fork

from tatsumaki_py import MessageQueue

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on Windows")


@pytest.mark.engines("memory")  # the engine takes a loop that runs
@pytest.mark.parametrize("thread", [False, True])
@pytest.mark.gen_test
async def test_publish(queue, thread):
    """The error says where to publish, for a fork in any thread; no listener is called."""
    taker = Taker()
    queue.poll("me", taker)

    def publish():
        try:
            return queue.publish({"n": 1}).result(1)
        finally:
            assert taker.seen == []

    said = await asyncio.to_thread(in_fork, publish) if thread else in_fork(publish)
    assert said.startswith(
        "RuntimeError: the event loop runs in the process that this one was forked from"
    )


@pytest.mark.engines("memory")  # the engine takes a loop that runs
@pytest.mark.parametrize("thread", [False, True])
@pytest.mark.gen_test
async def test_a_loop_of_its_own(thread):
    """A loop that begins there is the loop of its queues."""

    async def talk():
        queue = MessageQueue.instance("another")
        queue.publish({"n": 1})
        return await queue.poll_once("me")

    def run():
        return asyncio.run(talk())

    MessageQueue.instance("any").disconnect()
    said = await asyncio.to_thread(in_fork, run) if thread else in_fork(run)
    assert said == "[{'n': 1}]"

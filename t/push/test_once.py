"""An event that is published just before a client stops listening arrives once, even without a
cursor.
"""

import asyncio

import pytest
from support.pushing import Subscribing
from support.wire import iterations, read_head

from tatsumaki_py import Application, MessageQueue


class Pausing(Subscribing):
    """A handler that stops listening after each event and then listens again."""

    def get(self):
        self.multipart_xhr_push(True)
        self.listen()

    def listen(self):
        self.poll = MessageQueue.instance("room").poll("ann", self.on_event)

    def on_event(self, *events):
        super().on_event(*events)
        self.poll.cancel()
        asyncio.get_running_loop().call_soon(self.listen)


@pytest.fixture
def app(made):
    rules = {"/room": Subscribing, "/pausing": Pausing}
    return Application([(path, handler, {"made": made}) for path, handler in rules.items()])


@pytest.mark.gen_test
async def test_the_queue_ends_it(get, queue):
    """Streams are finished by `disconnect`, and named clients resume."""
    first, _ = await get("/room?id=ann")
    await iterations()
    queue.publish({"n": 1})
    queue.disconnect()
    assert (await first.read_all()).count(b'{"n":1}') == 1
    second, handler = await get("/room?id=ann")
    queue.publish({"n": 2})
    await iterations()
    handler.finish()
    body = await second.read_all()
    assert (body.count(b'{"n":1}'), body.count(b'{"n":2}')) == (0, 1)


@pytest.mark.gen_test
async def test_a_callback_ends_it(get, queue):
    """A callback may stop listening, and listen again later on the same stream."""
    client, handler = await get("/pausing")
    await read_head(client)
    for number in range(3):
        queue.publish({"n": number})
        await iterations()
    handler.finish()
    body = await client.read_all()
    assert [body.count(b'{"n":%d}' % number) for number in range(3)] == [1, 1, 1]

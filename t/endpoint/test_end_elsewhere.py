"""A channel ends in one of several processes."""

import pytest
from support.wire import soon

from tatsumaki_py import Application, MessageQueue, SubscribeHandler
from tatsumaki_py.message_queue.engine.choose import choose
from tatsumaki_py.publisher import Publisher

END = {"type": "end"}


@pytest.fixture
def app():
    return Application([(r"/events/([\w.-]+)", SubscribeHandler)])


@pytest.fixture
def queue(redis_server, io_loop):
    """The queue of the channel "room", fed only while it has clients."""
    engine = choose(redis_server.url, {"linger": 0.01}).make()
    MessageQueue.configure(engine)
    queue = MessageQueue.instance("room")
    queue.reconnect_time = 0.01
    yield queue
    io_loop.run_sync(lambda: over(engine))


async def over(engine):
    MessageQueue.reset()
    await engine.close()


@pytest.fixture
def other(redis_server):
    publisher = Publisher(redis_server.url)
    yield publisher
    publisher.close()


@pytest.mark.gen_test
async def test_it_goes_on_elsewhere(subscriber, queue, other):
    """A process without clients of an ended channel checks for new events before it treats the
    channel as ended, because another process may have published.
    """
    client = subscriber("sse")
    await client.start()
    await queue.end()
    assert await client.take(1) == [END]
    await soon(lambda: not queue._channel.loaded)
    await other.apublish("room", "more")
    client = subscriber("sse", cursor=client.cursor)
    await client.start()
    assert await client.take(1) == ["more"]


@pytest.mark.gen_test
async def test_a_name_from_elsewhere(subscriber, queue, other, redis_server):
    """A named client that another process knows gets the events that it missed."""
    queue.backlog_length, queue.reconnect_time = 0, 60
    (first,) = await other.apublish("room", "old")
    await other.apublish("room", "new")
    await queue.poll_once(None, timeout=0)
    process = choose(redis_server.url, {}).make()
    process.remember(("room",), "ann", first, 60)
    await process.recall(("room",), "ann")
    await process.close()
    await queue.end()
    assert await subscriber("long-poll", client_id="ann").take(2) == ["new", END]

"""Two servers in one event loop: they share the queues, and each may stop by itself."""

import asyncio

import pytest
from support.subscriber import CLIENTS, Ended
from support.wire import read_reply, soon

from tatsumaki_py import Application, Handler, MessageQueue, Server, SubscribeHandler
from tatsumaki_py.health import Health
from tatsumaki_py.message_queue.engine.memory import MemoryEngine

said = []


class Publishes(Handler):
    async def get(self):
        said.append("asked")
        await asyncio.sleep(0.1)
        await MessageQueue.instance("room").publish("the last word")
        self.write("done")


class Engine(MemoryEngine):
    async def close(self):
        said.append("closed")


@pytest.fixture
def servers(io_loop):
    """Two servers that serve, each with the task of it."""
    said.clear()
    MessageQueue.configure(Engine())
    found = []
    for _ in range(2):
        app = Application([(r"/events/(\w+)", SubscribeHandler), ("/publishes", Publishes)])
        server = Server("127.0.0.1", 0, grace=1)
        found.append((server, io_loop.asyncio_loop.create_task(server.serve(app))))
    io_loop.run_sync(lambda: soon(lambda: all(one.listening.is_set() for one, _ in found)))
    yield found
    for server, _ in found:
        server.stop()
    io_loop.run_sync(lambda: asyncio.gather(*(serving for _, serving in found)))


@pytest.mark.gen_test
async def test_one_stops(servers, raw):
    """The other one still serves: it is healthy, its events are accepted, its workers poll."""
    (one, stopping), (other, _) = servers
    heard = []
    queue = MessageQueue.instance("room")
    queue.poll("worker", lambda *events: heard.extend(event.data for event in events))
    client = await raw(one.port)
    await client.send(b"GET /publishes HTTP/1.1\r\nHost: x\r\n\r\n")
    await soon(lambda: said)
    one.stop()
    await asyncio.sleep(0.02)
    assert Health.current().reason() is None
    assert (await read_reply(client)).body == b"done"
    await stopping
    stream = CLIENTS["sse"](other.port)
    await stream.start()
    await queue.publish("and more")
    assert await stream.take(2) == ["the last word", "and more"]
    assert heard == ["the last word", "and more"]
    assert said == ["asked"]
    stream.leave()


@pytest.mark.gen_test
async def test_both_stop(servers, raw):
    """What a request of one publishes reaches a stream of the other before that ends. The engine is
    closed once, and then publishing is possible again."""
    (one, _), (other, _) = servers
    stream = CLIENTS["sse"](other.port)
    await stream.start()
    client = await raw(one.port)
    await client.send(b"GET /publishes HTTP/1.1\r\nHost: x\r\n\r\n")
    await soon(lambda: said)
    other.stop()
    one.stop()
    await asyncio.sleep(0.02)
    assert Health.current().reason() == "draining"
    assert (await stream.read()).data == "the last word"
    with pytest.raises(Ended):
        await stream.read()
    assert (await read_reply(client)).body == b"done"
    await asyncio.gather(*(serving for _, serving in servers))
    assert said == ["asked", "closed"]
    assert Health.current().reason() is None
    await MessageQueue.instance("room").publish("later")
    stream.leave()

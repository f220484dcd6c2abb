"""A stream takes over the registration of its connection in the event loop."""

import asyncio

import pytest
from support.wire import soon

from tatsumaki_py import Application, Handler, MessageQueue, SubscribeHandler
from tatsumaki_py.push.open_streams import open_streams

HEAD = b"GET /%b HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n"


class Plain(Handler):
    def get(self):
        self.write("plain")


@pytest.fixture
def app():
    return Application([("/plain", Plain), ("/(room)", SubscribeHandler)])


@pytest.mark.gen_test
async def test_registered_once(http_server, http_port, raw, monkeypatch):
    """One registration serves the requests of a connection and its stream. The stream gets the
    event and notices that its client leaves.
    """
    loop = asyncio.get_running_loop()
    calls = []
    add_reader = loop.add_reader

    def noting(descriptor, callback, *args):
        calls.append(descriptor)
        return add_reader(descriptor, callback, *args)

    monkeypatch.setattr(loop, "add_reader", noting)
    client = await raw(http_port)
    await client.send(HEAD % b"plain")
    await client.read_until(b"plain")
    await client.send(HEAD % b"room")
    await client.read_until(b"event: cursor")
    (stream,) = open_streams()
    assert calls.count(stream.wire.fileno()) == 1
    await client.send(b"nothing that matters")
    MessageQueue.instance("room").publish({"n": 1})
    await client.read_until(b'data: {"n":1}')
    client.close()
    await soon(lambda: stream.over)


@pytest.mark.gen_test
async def test_registered_again(http_server, http_port, raw):
    """A connection whose reading was paused can also become a stream."""
    client = await raw(http_port)
    await client.send(HEAD % b"plain" * 3000 + HEAD % b"room")
    await client.read_until(b"event: cursor")
    (stream,) = open_streams()
    MessageQueue.instance("room").publish({"n": 2})
    await client.read_until(b'data: {"n":2}')
    client.close()
    await soon(lambda: stream.over)

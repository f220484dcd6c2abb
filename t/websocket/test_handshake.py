"""A client may leave before its WebSocket is open."""

import asyncio
from typing import ClassVar

import pytest
from support.subscriber import CLIENTS
from support.wire import open_sockets, soon

from tatsumaki_py import Application, Error, MessageQueue, SubscribeHandler, WebSocketHandler


class Slow(WebSocketHandler):
    """A handler that waits before the handshake."""

    def initialize(self, made):
        made.append(self)
        self.go_on, self.calls = asyncio.Event(), []

    async def prepare(self):
        await self.go_on.wait()

    def open(self):
        self.calls.append("open")
        try:
            self.stream_write("hello")
        except Error.ClientDisconnect:
            self.calls.append("nobody")
        MessageQueue.instance("room").poll("name", self.calls.append)

    def on_close(self):
        self.calls.append("close")


class Events(SubscribeHandler):
    made: ClassVar = []

    async def can_subscribe(self, channel):
        self.go_on, self.calls = asyncio.Event(), []
        self.made.append(self)
        await self.go_on.wait()
        return True

    def on_subscribe(self, channel):
        self.calls.append(channel)

    def on_unsubscribe(self, channel):
        self.calls.append(channel)


@pytest.fixture
def app(made):
    Events.made = made
    return Application([("/slow", Slow, {"made": made}), ("/events/(.*)", Events)])


@pytest.mark.parametrize("path", ["/slow", "/events/room"])
@pytest.mark.gen_test
async def test_left_before_it_was_open(http_server, http_port, raw, made, path):
    """No client is subscribed, and nothing is logged or left behind."""
    client = CLIENTS["websocket"](http_port, path)
    await client.request()
    handler = await soon(lambda: made and made[0])
    client.connection.reset()
    await soon(handler.request.connection.stream.closed)
    handler.go_on.set()
    await soon(lambda: handler._finished)
    await asyncio.sleep(0.01)
    assert not MessageQueue.instance("room").clients
    assert open_sockets(http_port) == 0
    if path == "/slow":
        # As in Tornado's own handlers, `on_close` is called immediately.
        assert handler.calls == ["close", "open", "nobody"]
    else:
        assert handler.calls == []

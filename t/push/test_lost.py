"""A watcher learns whether its client's connection ended normally."""

import asyncio
import socket
import struct

import pytest
from support.subscriber import subscriber
from support.wire import iterations, read_chunk, read_head, soon

from tatsumaki_py import Application, Handler, WebSocketHandler


class Watched:
    """A watcher that notes how it was told that its client has left."""

    max_buffer = 100_000
    once, given = True, ()

    def initialize(self, made):
        made.append(self)
        self.ends = []

    def left(self, lost):
        self.ends.append(lost)

    def served(self):
        self.ends.append("served")

    def busy(self):
        return False

    def cursor(self):
        return ""

    def blocked(self, blocked):
        pass


class Streaming(Watched, Handler):
    asynchronous = True

    def get(self):
        self._peer_watch(self)
        self.stream_write("a")


class Waiting(Watched, Handler):
    asynchronous = True

    def get(self):
        self._peer_watch(self)


class Socket(Watched, WebSocketHandler):
    def open(self):
        self._peer_watch(self)


@pytest.fixture
def app(made):
    rules = {"/stream": Streaming, "/wait": Waiting, "/ws": Socket}
    return Application([(path, handler, {"made": made}) for path, handler in rules.items()])


async def told(handler):
    await soon(lambda: handler.ends)
    await iterations()
    return handler.ends


@pytest.mark.parametrize(
    ("how", "lost"), [("close", False), ("half_close", False), ("reset", True)]
)
@pytest.mark.parametrize("more", [b"", b"GET /wait HTTP/1.1\r\n"])
@pytest.mark.parametrize("path", ["/stream", "/wait"])
@pytest.mark.gen_test
async def test_over_http(get, path, more, how, lost):
    """A reset counts as lost, whether or not the client sent more than its request."""
    client, handler = await get(path)
    if path == "/stream":
        # A client that closes with unread bytes would reset the connection.
        await read_head(client)
        assert await read_chunk(client) == b"a"
    await client.send(more)
    await asyncio.sleep(0.02)
    getattr(client, how)()
    assert await told(handler) == [lost]


@pytest.mark.parametrize(("how", "lost"), [("close", False), ("reset", True)])
@pytest.mark.gen_test
async def test_as_the_answer_is_finished(get, how, lost):
    """The server may notice that a client has left only when its answer is finished."""
    client, handler = await get("/wait")
    await client.send(b"GET /wait HTTP/1.1\r\n")
    await iterations()
    getattr(client, how)()
    handler.finish("late")
    assert await told(handler) == [lost]


@pytest.mark.gen_test
async def test_cut_off(get, small_buffers, raw_small):
    """A client that does not read and is disconnected loses the bytes in its kernel."""
    client, handler = await get("/stream", connect=raw_small)
    await read_head(client)
    while handler._live is not None:
        handler.stream_write("x" * 20_000)
        await asyncio.sleep(0)
    assert await told(handler) == [True]


@pytest.mark.parametrize(("how", "lost"), [("close", False), ("abort", True)])
@pytest.mark.parametrize("path", ["/stream", "/wait"])
@pytest.mark.gen_test
async def test_over_tls(get_tls, path, how, lost):
    """Over TLS, only a close with close_notify is a normal end."""
    reader, writer, handler = await get_tls(path)
    if path == "/stream":
        await reader.readuntil(b"a\r\n")
    if how == "abort":
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    getattr(writer.transport, how)()
    assert await told(handler) == [lost]


@pytest.mark.parametrize(
    ("how", "lost"), [("frame", False), ("empty frame", False), ("close", True), ("reset", True)]
)
@pytest.mark.gen_test
async def test_over_a_websocket(http_server, http_port, made, how, lost):
    """A WebSocket that ends without a close frame counts as lost."""
    client = subscriber("websocket", http_port, "/ws")
    assert (await client.open()).status == 101
    if "frame" in how:
        await client.send(b"" if "empty" in how else (1000).to_bytes(2), 0x8)
    else:
        getattr(client.connection, how)()
    assert await told(made[0]) == [lost]
    client.close()

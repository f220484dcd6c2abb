"""A handler that detaches its connection for another protocol."""

import asyncio
import ssl

import pytest
from support.wire import read_reply, soon
from tornado.iostream import IOStream, SSLIOStream, StreamClosedError
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

from tatsumaki_py.http1 import requests

ASK = b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n"


class Echo(RequestHandler):
    """Echoes each line."""

    def initialize(self, streams):
        self.streams = streams

    async def get(self):
        self.set_status(101)
        await self.flush()
        stream = self.detach()
        self.streams.append(stream)
        try:
            while True:
                line = await stream.read_until(b"\n")
                await stream.write(line)
        except StreamClosedError:
            stream.close()


@pytest.fixture
def streams():
    return []


@pytest.fixture
def app(streams):
    return Application([("/", Echo, {"streams": streams})])


@pytest.mark.parametrize("ahead", [b"", b"one\n", b"one\nt"])
@pytest.mark.gen_test
async def test_a_real_stream(connect, streams, http_server, ahead):
    """The stream begins at the byte after the head, and the server gives up the connection."""
    client = await connect(ASK + ahead)
    assert (await client.read_until(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
    await client.send(b"one\ntwo\n"[len(ahead) :])
    assert await client.read_exactly(8) == b"one\ntwo\n"
    (stream,) = streams
    assert isinstance(stream, IOStream)
    await http_server.close_all_connections()
    await client.send(b"three\n")
    assert await client.read_until(b"\n") == b"three\n"
    client.close()
    await soon(stream.closed)


@pytest.mark.gen_test
async def test_much_read_ahead(connect, streams):
    """The stream contains all bytes that arrived with the head, even more than one read."""
    data = b"".join(b"%7d\n" % number for number in range(40_000))
    client = await connect(ASK)
    sending = asyncio.ensure_future(client.send(data))
    assert (await client.read_until(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
    assert await client.read_exactly(len(data)) == data
    await sending


@pytest.mark.gen_test
async def test_much_unsent(connect, app):
    """The unsent rest of the answer is sent before the stream's own bytes."""
    size = 8 * 1024 * 1024

    class Large(RequestHandler):
        async def get(self):
            self.set_header("Content-Length", size)
            self.write(b"a" * size)
            self.flush()
            stream = self.detach()
            await stream.write(b"end")
            stream.close()

    app.add_handlers(".*", [("/large", Large)])
    client = await connect(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
    await client.read_until(b"\r\n\r\n")
    body = await client.read_all()
    assert (len(body), body.count(b"a"), body[-3:]) == (size + 3, size, b"end")


@pytest.mark.gen_test
async def test_over_tls(app, streams, certificate, trusting, http_server_class):
    """Over TLS, the stream also gets the bytes that TLS has already read from the socket."""
    server = http_server_class(app, ssl_options=certificate)
    listening, port = bind_unused_port()
    server.add_socket(listening)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting)
    writer.write(ASK + b"one\n")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
    assert await reader.readuntil(b"\n") == b"one\n"
    writer.write(b"two\n")
    assert await reader.readuntil(b"\n") == b"two\n"
    (stream,) = streams
    assert isinstance(stream, SSLIOStream)
    assert isinstance(stream.socket, ssl.SSLSocket)
    writer.close()
    await soon(stream.closed)
    server.stop()


@pytest.mark.gen_test
async def test_from_a_callback(http_server_class, raw):
    """An application that is a plain function may detach. Its last data arrives."""

    def answer(request):
        stream = request.connection.detach()
        stream.write(b"raw")
        stream.close()

    server = http_server_class(answer)
    listening, port = bind_unused_port()
    server.add_socket(listening)
    client = await raw(port)
    await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert await client.read_all() == b"raw"
    server.stop()


@pytest.mark.gen_test
async def test_never(connect, app, monkeypatch):
    """If a handler finishes a 101 without `detach`, the connection is closed."""

    class Forgetting(RequestHandler):
        def get(self):
            self.set_status(101)
            self.finish()

    monkeypatch.setattr(requests, "DETACH", 0.05)
    app.add_handlers(".*", [("/never", Forgetting)])
    client = await connect(ASK.replace(b" / ", b" /never ") + b"one\n")
    assert (await client.read_until(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
    assert await asyncio.wait_for(client.read_all(), 2) == b""


@pytest.mark.gen_test
async def test_too_late(connect, app):
    """After its answer, a handler cannot detach the connection from a later request."""
    kept = []

    class Keeping(RequestHandler):
        async def get(self):
            kept.append(self)
            if len(kept) == 2:
                assert kept[0].detach().closed()
            self.write("hello")

    app.add_handlers(".*", [("/keeping", Keeping)])
    client = await connect(ASK.replace(b" / ", b" /keeping ") * 2)
    for _ in range(2):
        assert (await read_reply(client)).body == b"hello"

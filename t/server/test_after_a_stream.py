"""A connection is closed when its stream ends, even if the client has sent further requests."""

import asyncio
import gc
import ssl
import weakref

import pytest
from support.wire import (
    iterations,
    open_sockets,
    raw_small,  # noqa: F401
    read_chunk,
    read_head,
    read_reply,
    small_buffers,  # noqa: F401
    soon,
)
from tornado.testing import AsyncHTTPSTestCase

from tatsumaki_py import Application, Handler

pytestmark = pytest.mark.both_servers

alive = weakref.WeakSet()


class Stream(Handler):
    """Sends three chunks."""

    asynchronous = True

    def get(self):
        alive.add(self)
        for text in "abc":
            self.stream_write(text)
        self.finish()

    post = get


class Flushed(Handler):
    """Sends its head with `flush`, as a handler of Tornado does."""

    async def get(self):
        self.write("a")
        await self.flush()
        await self.stream_write("bc")


class Measured(Stream):
    """Sets a Content-Length."""

    def prepare(self):
        self.set_header("Content-Length", "3")


class Closing(Stream):
    def prepare(self):
        self.set_header("Connection", "close")


class Failing(Handler):
    async def get(self):
        await self.stream_write("abc")
        await asyncio.sleep(0.01)
        self.send_error()


class Slow(Handler):
    """A stream that the test ends."""

    asynchronous = True
    open = None

    def get(self):
        Slow.open = self
        self.stream_write("a")


class Late(Slow):
    """A stream whose client leaves just before it begins."""

    leave = None

    def get(self):
        Late.leave()
        super().get()


class Plain(Handler):
    def get(self):
        self.write({"address": self.request.address})

    def post(self):
        self.write({"size": len(self.request.body)})


POST = b"POST /Plain HTTP/1.1\r\nHost: x\r\nContent-Length: 50000\r\n\r\n" + b"x" * 50_000


@pytest.fixture
def app():
    alive.clear()
    Slow.open = None
    kinds = (Stream, Flushed, Measured, Closing, Failing, Slow, Late, Plain)
    return Application([(f"/{kind.__name__}", kind) for kind in kinds])


async def send(client, path, *headers, method="GET", version="HTTP/1.1", body=""):
    lines = [f"{method} {path} {version}", "Host: localhost", *headers, "", body]
    await client.send("\r\n".join(lines).encode())


async def has_ended(client):
    """Whether the server closes the connection of `client` without sending another byte."""
    return await client.read_all() == b""


@pytest.mark.parametrize("path", ["/Stream", "/Closing", "/Measured"])
@pytest.mark.parametrize("header", ["Connection: keep-alive", "Connection: close"])
@pytest.mark.gen_test
async def test_the_answer_says_so(ask, path, header):
    """The answer has `Connection: close`, whatever the client or the handler asks for."""
    client = await ask(f"GET {path}", header)
    reply = await read_reply(client)
    assert (reply.body, reply.headers["connection"]) == (b"abc", "close")
    assert await has_ended(client)


@pytest.mark.gen_test
async def test_a_head_that_is_out(ask):
    """If the head was sent before the stream began, the connection is closed nevertheless."""
    client = await ask("GET /Flushed")
    assert (await read_reply(client)).body == b"abc"
    assert await has_ended(client)


@pytest.mark.gen_test
async def test_http_1_0(ask):
    """With HTTP/1.0, the connection ends with the stream, even if the client asks to keep it."""
    client = await ask("GET /Stream HTTP/1.0", "Connection: keep-alive")
    reply = await read_reply(client)
    assert reply.body == b"abc"
    assert reply.headers["connection"].lower() == "close"


@pytest.mark.gen_test
async def test_a_request_with_a_body(ask):
    """A request with a body can be answered with a stream."""
    client = await ask("POST /Stream", body="a=1")
    reply = await read_reply(client)
    assert (reply.body, reply.headers["connection"]) == (b"abc", "close")
    assert await has_ended(client)


@pytest.mark.parametrize("when", ["with the request", "later", "both"])
@pytest.mark.gen_test
async def test_pipelined(http_server, http_port, raw, when):
    """A request behind a stream is dropped, whenever it arrives, and the stream is complete."""
    client = await raw(http_port)
    split = {"with the request": len(POST), "later": 0, "both": 100}[when]
    await client.send(b"GET /Slow HTTP/1.1\r\nHost: x\r\n\r\n" + POST[:split])
    await read_head(client)
    assert await read_chunk(client) == b"a"
    await client.send(POST[split:])
    await asyncio.sleep(0.02)
    Slow.open.stream_write("b")
    assert await read_chunk(client) == b"b"
    Slow.open.finish()
    assert await read_chunk(client) == b""
    assert await has_ended(client)


@pytest.mark.parametrize("leave", ["close", "reset", "half_close"])
@pytest.mark.gen_test
async def test_who_leaves_with_a_request_behind(http_server, http_port, raw, leave):
    """The server notices that a client leaves, even if the client has sent another request."""
    client = await raw(http_port)
    await send(client, "/Slow")
    await read_head(client)
    await send(client, "/Plain")
    await asyncio.sleep(0.02)
    assert not Slow.open._peer_left()
    getattr(client, leave)()
    await soon(Slow.open._peer_left)


@pytest.mark.gen_test
async def test_an_error(ask):
    """A stream that fails is cut off without its last chunk."""
    client = await ask("GET /Failing")
    await read_head(client)
    assert await client.read_all() == b"3\r\nabc\r\n"


@pytest.mark.gen_test
async def test_who_left(ask, http_server, http_port):
    """If the client leaves just before the stream ends, the server closes its socket."""
    for leave in ("close", "reset", "half_close"):
        client = await ask("GET /Slow")
        await read_head(client)
        getattr(client, leave)()
        Slow.open.finish()
        await soon(lambda: not open_sockets(http_port))
        assert not http_server._connections


@pytest.mark.parametrize("leave", ["close", "reset"])
@pytest.mark.gen_test
async def test_who_left_before_the_stream(http_server, http_port, raw, leave):
    """If the client leaves before the stream begins, nothing is logged and nothing is raised."""
    client = await raw(http_port)
    Late.leave = getattr(client, leave)
    await send(client, "/Late")
    await soon(lambda: Slow.open is not None and Slow.open._peer_left())
    assert type(Slow.open) is Late


@pytest.mark.gen_test
async def test_who_comes_after_the_stop(http_server, http_port, raw):
    """A stopped server refuses connections."""
    http_server.stop()
    with pytest.raises(ConnectionRefusedError):
        await raw(http_port)


@pytest.mark.parametrize(
    "server_options", [{"ssl_options": AsyncHTTPSTestCase.default_ssl_options()}]
)
@pytest.mark.gen_test
async def test_over_tls(http_server, http_port, server_options):
    """Over TLS, the answer has `Connection: close`, and the connection is closed."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection("127.0.0.1", http_port, ssl=context)
    writer.write(b"GET /Stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answer = await reader.read()
    assert b"\r\nConnection: close\r\n" in answer
    assert answer.endswith(b"1\r\nc\r\n0\r\n\r\n")
    writer.close()


@pytest.mark.gen_test
async def test_no_cycle(ask):
    """A handler is freed when its stream ends, without the garbage collector."""
    gc.disable()
    try:
        client = await ask("GET /Stream")
        await read_reply(client)
        await iterations()
        assert not alive
    finally:
        gc.enable()

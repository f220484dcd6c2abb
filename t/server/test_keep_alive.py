"""A connection goes on after a stream, if it is known where the next request begins."""

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

from tatsumaki_py import Application, Handler, MessageQueue
from tatsumaki_py.push.hangup import INTERVAL, HangUps
from tatsumaki_py.server import LIMITS, _HTTPServer

alive = weakref.WeakSet()


class Stream(Handler):
    """Three chunks."""

    asynchronous = True

    def get(self):
        alive.add(self)
        for text in "abc":
            self.stream_write(text)
        self.finish()

    post = get


class Flushed(Handler):
    """Begins as Tornado's do."""

    async def get(self):
        self.write("a")
        await self.flush()
        await self.stream_write("bc")


class Large(Handler):
    asynchronous = True

    def get(self):
        self.stream_write("x" * 150_000)
        self.finish()


class Measured(Stream):
    """Says how long it is."""

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
    """Ends when the test says so."""

    asynchronous = True
    open = None

    def get(self):
        Slow.open = self
        self.stream_write("a")


class Late(Slow):
    """Its client leaves just before the stream begins."""

    leave = None

    def get(self):
        Late.leave()
        super().get()


class Room(Handler):
    asynchronous = True
    max_stream_time = 100.0

    def get(self):
        self.multipart_xhr_push(True)
        MessageQueue.instance("room").poll(self.request.param("id"), self.on_event)

    def on_event(self, *events):
        for event in events:
            self.stream_write(event)


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
    kinds = (Stream, Flushed, Large, Measured, Closing, Failing, Slow, Late, Room, Plain)
    return Application([(f"/{kind.__name__}", kind) for kind in kinds])


@pytest.fixture
def options():
    """What the server is made with."""
    return {}


@pytest.fixture
def http_server(io_loop, app, options, _unused_port):
    server = _HTTPServer(app, **(LIMITS | options))
    server.add_socket(_unused_port[0])
    yield server
    server.stop()
    io_loop.run_sync(server.close_all_connections)


async def send(client, path, *headers, method="GET", version="HTTP/1.1", body=""):
    lines = [f"{method} {path} {version}", "Host: localhost", *headers, "", body]
    await client.send("\r\n".join(lines).encode())


async def goes_on(client):
    """Whether `client` gets an answer to one more request, and not a byte before it."""
    await send(client, "/Plain")
    reply = await read_reply(client)
    return reply.line == "HTTP/1.1 200 OK" and reply.body == b'{"address":"127.0.0.1"}'


async def has_ended(client):
    """Whether `client` sees the end of the connection, and not a byte before it."""
    return await client.read_all() == b""


@pytest.mark.parametrize("path", ["/Stream", "/Flushed"])
@pytest.mark.gen_test
async def test_after_a_stream(ask, http_server, http_port, path):
    """Any request, and another stream, and so on; nobody says that it closes."""
    client = await ask(f"GET {path}")
    for _ in range(3):
        reply = await read_reply(client)
        assert (reply.status, reply.body) == (200, b"abc")
        assert "connection" not in reply.headers
        assert await goes_on(client)
        assert open_sockets(http_port) == 1
        await send(client, path)
    assert (await read_reply(client)).body == b"abc"
    assert len(http_server._connections) == 1


@pytest.mark.gen_test
async def test_after_a_stream_that_was_rotated(ask, clock):
    """The client comes back on the same connection, with its cursor."""
    queue = MessageQueue.instance("room")
    client = await ask("GET /Room?id=ann", "Last-Event-ID: ")
    await read_head(client)
    await read_chunk(client)
    queue.publish({"n": 1})
    assert b'{"n":1}' in await read_chunk(client)
    cursor = queue.cursor()
    await clock.advance(101)
    while await read_chunk(client):
        pass
    queue.publish({"n": 2})
    await send(client, "/Room?id=bob", f"Last-Event-ID: {cursor}")
    await read_head(client)
    await read_chunk(client)
    assert b'{"n":2}' in await read_chunk(client)


@pytest.mark.gen_test
async def test_after_a_stream_that_was_slow(
    small_buffers,  # noqa: F811
    http_server,
    http_port,
    raw_small,  # noqa: F811
    clock,
):
    """When all is sent at last; the time that it had for that does not end the next one."""
    client = await raw_small(http_port)
    await send(client, "/Large")
    await asyncio.sleep(0.02)
    assert (await read_reply(client)).body == b"x" * 150_000
    await clock.advance(31)
    assert await goes_on(client)


@pytest.mark.gen_test
async def test_it_may_be_idle_no_longer_than_others(ask, http_port, clock):
    """Two minutes."""
    client = await ask("GET /Stream")
    await read_reply(client)
    await clock.advance(119)
    assert await goes_on(client)
    await clock.advance(121)
    assert await has_ended(client)


# -- not


@pytest.mark.parametrize(
    ("path", "header"),
    [("/Stream", "Connection: close"), ("/Closing", "X: y"), ("/Measured", "X: y")],
)
@pytest.mark.gen_test
async def test_who_says_close(ask, path, header):
    """Client or handler; one that has a length of its own does not tell its end."""
    client = await ask(f"GET {path}", header)
    reply = await read_reply(client)
    assert (reply.body, reply.headers["connection"]) == (b"abc", "close")
    assert await has_ended(client)


@pytest.mark.gen_test
async def test_http_1_0(ask):
    """Its end is the end of the connection, whatever the client would like."""
    client = await ask("GET /Stream HTTP/1.0", "Connection: keep-alive")
    reply = await read_reply(client)
    assert reply.body == b"abc"
    assert reply.headers["connection"].lower() == "close"


@pytest.mark.gen_test
async def test_a_request_with_a_body(ask):
    """It need not have been read to its end."""
    client = await ask("POST /Stream", body="a=1")
    reply = await read_reply(client)
    assert (reply.body, reply.headers["connection"]) == (b"abc", "close")
    assert await has_ended(client)


@pytest.mark.gen_test
async def test_pipelined(http_server, http_port, raw):
    """Requests that came with the one of a stream are answered after it, one by one."""
    client = await raw(http_port)
    line = b"GET /Stream HTTP/1.1\r\nHost: x\r\n\r\n"
    await client.send(line * 3 + POST[:20])
    for _ in range(3):
        assert (await read_reply(client)).body == b"abc"
    await client.send(POST[20:])
    assert (await read_reply(client)).body == b'{"size":50000}'
    assert await goes_on(client)


@pytest.mark.parametrize("when", ["with the request", "later", "both"])
@pytest.mark.gen_test
async def test_behind_an_open_stream(http_server, http_port, raw, when):
    """A request of any size waits for the end of the stream, whenever it was sent."""
    client = await raw(http_port)
    split = {"with the request": len(POST), "later": 0, "both": 100}[when]
    await client.send(b"GET /Slow HTTP/1.1\r\nHost: x\r\n\r\n" + POST[:split])
    await read_head(client)
    assert await read_chunk(client) == b"a"
    rest = asyncio.ensure_future(client.send(POST[split:]))
    await asyncio.sleep(0.02)
    Slow.open.stream_write("b")
    assert await read_chunk(client) == b"b"
    Slow.open.finish()
    assert await read_chunk(client) == b""
    await rest
    assert (await read_reply(client)).body == b'{"size":50000}'
    assert await goes_on(client)


@pytest.mark.parametrize("leave", ["close", "reset", "half_close"])
@pytest.mark.gen_test
async def test_who_leaves_with_a_request_behind(http_server, http_port, raw, clock, leave):
    """It is noticed although nothing is read."""
    client = await raw(http_port)
    await send(client, "/Slow")
    await read_head(client)
    await send(client, "/Plain")
    await asyncio.sleep(0.02)
    assert not Slow.open._peer_left()
    getattr(client, leave)()
    await asyncio.sleep(0.02)
    await clock.advance(INTERVAL)
    await soon(Slow.open._peer_left)
    assert HangUps.current()._callbacks == {}


@pytest.mark.gen_test
async def test_too_much_behind(http_server, http_port, raw, monkeypatch):
    """What is not kept is not answered: the connection ends with the stream."""
    monkeypatch.setattr("tatsumaki_py.push.connection.AHEAD", 1000)
    client = await raw(http_port)
    await client.send(b"GET /Slow HTTP/1.1\r\nHost: x\r\n\r\n" + POST)
    await read_head(client)
    await asyncio.sleep(0.02)
    Slow.open.finish()
    assert await read_chunk(client) == b"a"
    assert await read_chunk(client) == b""
    assert await has_ended(client)


@pytest.mark.gen_test
async def test_an_error(ask):
    """An answer that is cut off has no end."""
    client = await ask("GET /Failing")
    await read_head(client)
    assert await client.read_all() == b"3\r\nabc\r\n"


@pytest.mark.gen_test
async def test_who_left(ask, http_server, http_port):
    """Before the end, or just at it."""
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
    """It is nothing to log, and no error of the method."""
    client = await raw(http_port)
    Late.leave = getattr(client, leave)
    await send(client, "/Late")
    await soon(lambda: Slow.open is not None and Slow.open._peer_left())
    assert type(Slow.open) is Late


@pytest.mark.gen_test
async def test_a_server_that_was_stopped(ask, http_server):
    """It takes no connection back."""
    client = await ask("GET /Slow")
    await read_head(client)
    http_server.stop()
    Slow.open.finish()
    assert await read_chunk(client) == b"a"
    assert await read_chunk(client) == b""
    assert await has_ended(client)


@pytest.mark.gen_test
async def test_who_comes_after_the_stop(http_server, http_port, raw):
    """A server that was stopped listens no more."""
    http_server.stop()
    with pytest.raises(ConnectionRefusedError):
        await raw(http_port)


@pytest.mark.gen_test
async def test_closed_with_the_others(ask, http_server):
    """A server that closes all its connections closes these, too."""
    client = await ask("GET /Stream")
    await read_reply(client)
    await http_server.close_all_connections()
    assert await has_ended(client)


@pytest.mark.gen_test
async def test_too_many(ask, http_server):
    """Who has the last descriptors is turned away, also after a stream."""
    client = await ask("GET /Slow")
    await read_head(client)
    http_server._last = 0
    Slow.open.finish()
    assert await read_chunk(client) == b"a"
    assert await read_chunk(client) == b""
    assert await has_ended(client)


@pytest.mark.parametrize("options", [{"ssl_options": AsyncHTTPSTestCase.default_ssl_options()}])
@pytest.mark.gen_test
async def test_over_tls(http_server, http_port, options):
    """What is encrypted is closed, and says so."""
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
    """A handler goes when its stream is over, while the connection stays."""
    gc.disable()
    try:
        client = await ask("GET /Stream")
        for _ in range(3):
            await read_reply(client)
            await iterations()
            assert not alive
            await send(client, "/Stream")
        await read_reply(client)
    finally:
        gc.enable()

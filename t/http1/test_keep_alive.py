"""When a connection stays open after an answer, and the header that says so."""

import asyncio

import pytest
from support.wire import read_reply
from tornado.web import Application, RequestHandler

from tatsumaki_py import Handler


class Hello(RequestHandler):
    def get(self):
        self.write("hello")

    post = get


class Flushed(RequestHandler):
    """Sends its head before the length is known."""

    async def get(self):
        self.write("hel")
        await self.flush()
        self.write("lo")


class Closing(RequestHandler):
    def get(self):
        self.set_header("Connection", "close")
        self.write("hello")


class Ours(Handler):
    def get(self):
        self.write("hello")


@pytest.fixture
def app():
    rules = {"/": Hello, "/ours": Ours, "/flushed": Flushed, "/closing": Closing}
    return Application(list(rules.items()))


async def stays_open(client, ask):
    """Whether a second request is answered."""
    await client.send(ask)
    try:
        return (await read_reply(client)).status == 200
    except (EOFError, ConnectionError):
        return False


@pytest.mark.parametrize(
    ("version", "fields", "said", "stays"),
    [
        ("1.1", "", None, True),
        ("1.1", "Connection: close", "close", False),
        ("1.1", "Connection: CLOSE", "close", False),
        ("1.1", "connection: Keep-Alive, Close", "close", False),
        ("1.1", "Connection: x\r\nConnection: close", "close", False),
        ("1.1", "Connection: Keep-Alive, Upgrade", None, True),
        ("1.1", "Connection: Upgrade\r\nUpgrade: h2c", None, True),
        ("1.1", "Connection: closed", None, True),
        ("1.0", "", None, False),
        ("1.0", "Connection: keep-alive", "Keep-Alive", True),
        ("1.0", "Connection: KEEP-ALIVE, te", "Keep-Alive", True),
        ("1.0", "Connection: keep-alive, close", None, False),
    ],
)
@pytest.mark.parametrize("path", ["/", "/ours"])
@pytest.mark.gen_test
async def test_connection(connect, path, version, fields, said, stays):
    head = "\r\n".join([f"GET {path} HTTP/{version}", "Host: x", *fields.split("\r\n")]).strip()
    ask = f"{head}\r\n\r\n".encode()
    client = await connect(ask)
    reply = await read_reply(client)
    assert (reply.status, reply.headers.get("connection"), reply.body) == (200, said, b"hello")
    assert await stays_open(client, ask) is stays


@pytest.mark.gen_test
async def test_a_body_that_ends_with_the_connection(connect):
    """A body of unknown length from an HTTP/1.0 client closes the connection."""
    client = await connect(b"POST / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nbody")
    assert (await client.read_all()).endswith(b"\r\n\r\nhello")
    client = await connect()
    for _ in range(2):
        await client.send(
            b"POST / HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 4\r\n\r\nbody"
        )
        assert (await read_reply(client)).headers["connection"] == "Keep-Alive"


@pytest.mark.parametrize(
    ("path", "version", "stays"),
    [
        ("/flushed", "1.1", True),
        ("/flushed", "1.0", False),
        ("/closing", "1.1", False),
        ("/closing", "1.0", False),
    ],
)
@pytest.mark.gen_test
async def test_of_the_answer(connect, path, version, stays):
    """The server closes the connection, even if the client asks to keep it, if the handler asks for
    that or if an HTTP/1.0 client could not see the end of the answer.
    """
    ask = f"GET {path} HTTP/{version}\r\nHost: x\r\nConnection: keep-alive\r\n\r\n".encode()
    client = await connect(ask)
    reply = await read_reply(client)
    assert reply.body == b"hello"
    assert reply.headers.get("connection") in ("close", None)
    assert await stays_open(client, ask) is stays


@pytest.mark.parametrize("server_options", [{"no_keep_alive": True}])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.gen_test
async def test_no_keep_alive(connect, server_options, version):
    """With `no_keep_alive`, each answer is the last one of its connection."""
    ask = f"GET / HTTP/{version}\r\nHost: x\r\nConnection: keep-alive\r\n\r\n".encode()
    client = await connect(ask * 2)
    reply = await read_reply(client)
    assert reply.headers.get("connection") == ("close" if version == "1.1" else None)
    assert (reply.body, await client.read_all()) == (b"hello", b"")


@pytest.mark.parametrize("server_options", [{"idle_connection_timeout": 0.05}])
@pytest.mark.parametrize("before", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"])
@pytest.mark.gen_test
async def test_idle(connect, server_options, before):
    """A connection that waits too long for its first request, or for a later one, is closed."""
    client = await connect(before)
    if before:
        await read_reply(client)
        await asyncio.sleep(0.03)
        assert await stays_open(client, before)
    started = asyncio.get_running_loop().time()
    assert await client.read_all() == b""
    assert asyncio.get_running_loop().time() - started > 0.04


@pytest.mark.parametrize("server_options", [{"idle_connection_timeout": 0.05}])
@pytest.mark.gen_test
async def test_an_empty_line_behind(connect, http_server, server_options):
    """An empty line after a request, as old browsers send it, does not begin another request."""
    client = await connect(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n\r\n")
    await read_reply(client)
    (connection,) = http_server.connections()
    assert connection.idle
    assert await asyncio.wait_for(client.read_all(), 2) == b""


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.gen_test
async def test_a_body_where_none_may_be(connect, app, status, expect_log):
    """If a handler writes a body where none is allowed, the connection is closed, so that the
    client does not take that body for the next answer.
    """

    class Writing(RequestHandler):
        async def get(self):
            self.set_status(status)
            await self.flush()
            self.write("HTTP/1.1 200 OK\r\n\r\n")
            await self.flush()

    app.add_handlers(".*", [("/writing", Writing)])
    client = await connect(b"GET /writing HTTP/1.1\r\nHost: x\r\n\r\n")
    with (
        expect_log("tornado.application", "Uncaught exception"),
        expect_log("tornado.general", "Cannot send error response"),
    ):
        assert (await client.read_all()).count(b"HTTP/1.1") == 1

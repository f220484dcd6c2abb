"""Requests with ambiguous ends, and requests that never end."""

import asyncio
import contextlib
import gc
import logging
import socket
import ssl
import struct
import weakref

import pytest
from support.wire import open_sockets, read_reply, soon
from tornado.iostream import IOStream
from tornado.testing import AsyncHTTPSTestCase

from tatsumaki_py import Application, Handler, MessageQueue
from tatsumaki_py.strict_http import HeadStream

pytestmark = pytest.mark.both_servers

calls = []


class Echo(Handler):
    def get(self):
        calls.append(self.request.path)
        self.write("got")

    def post(self):
        calls.append(self.request.path)
        self.write(self.request.body)


class Poll(Handler):
    asynchronous = True

    def get(self):
        MessageQueue.instance("room").poll_once("me", self.finish)


@pytest.fixture
def app():
    calls.clear()
    return Application([("/poll", Poll), ("/.*", Echo)])


@pytest.fixture
def connect(http_server, http_port, raw):
    """`client = await connect(b"...")` connects and sends these bytes."""

    async def make(data=b""):
        client = await raw(http_port)
        await client.send(data)
        return client

    return make


HEAD = b"POST /x HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /x HTTP/1.1\nHost: x\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: x\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: x\r\n\n",
        b"GET /x HTTP/1.1\nHost: x\n\n",
        b"GET /x HTTP/1.1\r\nHost: x\nX: y\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: x\r\nX: y\n z\r\n\r\n",
        b"\nGET /x HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /x HTTP/1.1\r\r\nHost: x\r\n\r\n",
        b"GET /x HTTP/1.1\rHost: x\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: x\r\r\n\n\r\n",
        HEAD + b"Content-Length: 2, 2\r\n\r\nab",
        HEAD + b"Content-Length: 2,2\r\n\r\nab",
        HEAD + b"Content-Length: 2,\r\n\r\nab",
        HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nab",
        HEAD + b"Content-Length: 2\r\ncontent-length: 3\r\n\r\nab",
        HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
@pytest.mark.parametrize("before", [b"", b"/x"])
@pytest.mark.gen_test
async def test_refused(connect, before, request_):
    """A request with an ambiguous end gets a 400, and the connection is closed, so the bytes behind
    it are not taken for a request. This holds for the first request of a connection and for later
    ones.
    """
    client = await connect()
    if before:
        await client.send(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % before)
        assert (await read_reply(client)).status == 200
        calls.clear()
    await client.send(request_ + b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = await client.read_all()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert (answer.count(b"HTTP/1.1 "), calls) == (1, [])


@pytest.mark.parametrize(
    ("request_", "body"),
    [
        (b"\r\nGET /x HTTP/1.1\r\nHost: x\r\n\r\n", b"got"),
        (b"GET /x HTTP/1.0\r\n\r\n", b"got"),
        (HEAD + b"Content-Length: 2\r\n\r\na\n", b"a\n"),
        (HEAD + b"Content-Length: 0\r\n\r\n", b""),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n\n\n\r\n0\r\n\r\n", b"\n\n"),
    ],
)
@pytest.mark.gen_test
async def test_taken(connect, request_, body):
    """An empty line before a request, a single length, and line ends in a body are accepted."""
    client = await connect(request_)
    reply = await read_reply(client)
    assert (reply.status, reply.body) == (200, body)


# -- time


async def is_open(client):
    """Whether the server has not closed the connection."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(client.read_all(), 0.02)
        return False
    return True


@pytest.mark.parametrize("part", [b"G", HEAD, HEAD + b"X: y\r\n"])
@pytest.mark.parametrize("before", [b"", b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n"])
@pytest.mark.gen_test
async def test_half_a_head(connect, http_port, clock, before, part):
    """A head must be complete a minute after its first byte, even if that byte came with the
    previous request.
    """
    client = await connect(before + part)
    if before:
        await read_reply(client)
    await asyncio.sleep(0.01)
    await clock.advance(59)
    await client.send(b"X")
    assert await is_open(client)
    await clock.advance(2)
    assert not await is_open(client)
    await soon(lambda: not open_sockets(http_port))


@pytest.mark.gen_test
async def test_a_head_in_parts(connect, clock):
    """The time limit of a head ends with the head: an idle connection has another limit, and a slow
    answer has none.
    """
    client = await connect()
    for path in (b"/x", b"/poll", b"/x"):
        await clock.advance(61)
        await client.send(b"GET %s HTTP/1.1\r\n" % path)
        await asyncio.sleep(0.01)
        await clock.advance(50)
        await client.send(b"Host: x\r\n\r\n")
        if path == b"/poll":
            await soon(lambda: MessageQueue.instance("room").clients)
            await clock.advance(54)
            MessageQueue.instance("room").publish({"n": 1})
        assert (await read_reply(client)).status == 200
    await clock.advance(119)
    assert await is_open(client)
    await clock.advance(2)
    assert not await is_open(client)


@pytest.mark.tornado_server
@pytest.mark.gen_test
async def test_no_larger_than_tornados(connect, http_server):
    """The dict of a connection has the same names as that of Tornado's `IOStream`; see
    `HeadStream`.
    """
    await connect(HEAD)
    (connection,) = await soon(lambda: list(http_server._connections))
    here, there = socket.socketpair()
    plain = IOStream(here)
    assert vars(connection.stream).keys() == vars(plain).keys()
    plain.close()
    there.close()


@pytest.mark.tornado_server
@pytest.mark.gen_test
async def test_nothing_is_left(connect, http_server):
    """A closed connection is freed together with its timer."""
    client = await connect(HEAD)
    (connection,) = await soon(lambda: list(http_server._connections))
    stream = weakref.ref(connection.stream)
    assert isinstance(stream(), HeadStream)
    await soon(lambda: stream()._head_timer)
    del connection
    gc.disable()
    try:
        client.close()
        await soon(lambda: stream() is None)
    finally:
        gc.enable()


# -- TLS


def context():
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


TLS = pytest.mark.parametrize(
    "server_options", [{"ssl_options": AsyncHTTPSTestCase.default_ssl_options()}]
)


@TLS
@pytest.mark.parametrize("part", [b"", b"\x16\x03\x01"])
@pytest.mark.gen_test
async def test_half_a_handshake(connect, clock, server_options, part):
    """A TLS handshake must also be complete within a minute."""
    client = await connect(part)
    await asyncio.sleep(0.01)
    await clock.advance(59)
    assert await is_open(client)
    await clock.advance(2)
    assert not await is_open(client)


@TLS
@pytest.mark.gen_test
async def test_a_whole_handshake(http_server, http_port, clock, server_options):
    """After the handshake there is no limit until the next head begins."""
    reader, writer = await asyncio.open_connection("127.0.0.1", http_port, ssl=context())
    await clock.advance(61)
    writer.write(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b" 200 " in await reader.readuntil(b"got")
    writer.write(b"GET")
    await asyncio.sleep(0.01)
    await clock.advance(61)
    assert await reader.read() == b""
    writer.close()


@TLS
@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01", b""])
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.gen_test
async def test_no_tls(http_server, http_port, server_options, caplog, data, late):
    """A client that sends no handshake and leaves causes at most one log line, at level DEBUG."""
    caplog.set_level(logging.DEBUG, "tatsumaki")
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", http_port)) as client:
            client.sendall(data)
            if late:
                await asyncio.sleep(0.001)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await asyncio.sleep(0.05)
    records = [record for record in caplog.records if record.name != "tornado.access"]
    assert {record.levelname for record in records} <= {"DEBUG"}
    assert (len(records) == 20) if data[:3] == b"GET" else (len(records) <= 20)
    assert not any(record.exc_info for record in records)
    assert open_sockets(http_port) == 0


@TLS
@pytest.mark.gen_test
async def test_a_client_that_trusts_nobody(http_server, http_port, server_options, caplog):
    """A client that rejects the certificate causes one log line at level DEBUG."""
    caplog.set_level(logging.DEBUG, "tatsumaki")
    with pytest.raises(ssl.SSLCertVerificationError):
        await asyncio.open_connection("127.0.0.1", http_port, ssl=ssl.create_default_context())
    await soon(lambda: not open_sockets(http_port))
    (record,) = [record for record in caplog.records if record.name == "tatsumaki"]
    assert record.levelname == "DEBUG"

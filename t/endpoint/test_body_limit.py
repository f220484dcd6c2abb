"""A body that is too large is refused before it is read, and is not kept in memory."""

import asyncio
import gzip
import tracemalloc

import pytest
import tornado.web
from support.wire import read_reply

from tatsumaki_py import Application, Handler, PublishHandler, SubscribeHandler
from tatsumaki_py.server.fast_server import FastServer

pytestmark = pytest.mark.both_servers


class Publish(PublishHandler):
    allowed_origins = ("https://www.example.com",)
    max_body_size = 100_000
    finished = 0

    def on_finish(self):
        type(self).finished += 1


class Upload(Handler):
    def post(self):
        self.write(str(len(self.request.body)))


class Small(Upload):
    max_body_size = 10

    def write_error(self, status_code, **kwargs):
        self.write(f"error {status_code}")


@tornado.web.stream_request_body
class Streamed(Small):
    def prepare(self):
        self.size = 0

    def data_received(self, chunk):
        self.size += len(chunk)

    def post(self):
        self.write(str(self.size))


class Reads(tornado.web.RequestHandler):
    """A handler of Tornado's, with no method that takes a body."""

    def get(self):
        self.write("read")


class Answers(tornado.web.RequestHandler):
    """A handler of Tornado's that answers each request in `prepare`."""

    def prepare(self):
        self.finish(str(len(self.request.body)))


RULES = [
    ("/reads", Reads),
    ("/get", type("Get", (Handler,), {"get": Reads.get})),
    ("/answers", Answers),
    ("/publish/(.*)", Publish),
    ("/events/(.*)", SubscribeHandler),
    ("/upload", Upload),
    ("/small", Small),
    ("/streamed", Streamed),
]


@pytest.fixture
def app():
    Publish.finished = 0
    return Application(RULES)


@pytest.fixture
def post(http_server, http_port, raw):
    """`client = await post("/path", length)` sends the head; "chunked" is allowed as the length."""

    async def post(path, length, *headers):
        client = await raw(http_port)
        known = f"Content-Length: {length}" if length != "chunked" else "Transfer-Encoding: chunked"
        lines = [f"POST {path} HTTP/1.1", "Host: x", "Content-Type: application/json"]
        await client.send("\r\n".join([*lines, known, *headers, "", ""]).encode())
        return client

    return post


@pytest.mark.parametrize(
    ("path", "limit"), [("/publish/room", 100_000), ("/events/room", 4096), ("/small", 10)]
)
@pytest.mark.gen_test
async def test_a_length_that_is_too_large(post, access_log, path, limit):
    """The handler answers with 413 as soon as it has the head."""
    client = await post(path, limit + 1)
    reply = await asyncio.wait_for(read_reply(client), 2)
    line = b"error 413" if path == "/small" else b"more than %d bytes in one request" % limit
    assert (reply.status, reply.body) == (413, line)
    assert [record.getMessage()[:3] for record in access_log()] == ["413"]


@pytest.mark.parametrize("length", ["200000, 200000", "1" * 30])
@pytest.mark.gen_test
async def test_an_odd_length(post, http_server_class, length):
    """The fast server refuses a malformed length with 400, before a handler is made."""
    client = await post("/small", length)
    reply = await asyncio.wait_for(read_reply(client), 2)
    assert reply.status == (400 if http_server_class is FastServer else 413)


@pytest.mark.parametrize("length", [4_000_000, "chunked"])
@pytest.mark.gen_test
async def test_the_rest_is_dropped(post, queue, length):
    """A client that sends its body despite the refusal gets the answer, and its connection stays
    open.
    """
    client = await post("/publish/room", length, "Origin: https://www.example.com")
    body = b"x" * 4_000_000
    await client.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if length == "chunked" else body)
    reply = await read_reply(client)
    assert reply.status == 413
    assert reply.headers["access-control-allow-origin"] == "https://www.example.com"
    await client.send(b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx")
    assert (await read_reply(client)).body == b"1"
    assert Publish.finished == 1
    assert queue.backlog_events == []


@pytest.mark.gen_test
async def test_memory(post):
    """A refused body is not kept in memory; a handler that accepts the body keeps all of it."""
    tracemalloc.start()
    try:
        peaks = []
        for path in ("/publish/room", "/upload"):
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            client = await post(path, 10_000_001)
            for _ in range(100):
                await client.send(b"x" * 100_000)
            await asyncio.sleep(0.05)
            peaks.append(tracemalloc.get_traced_memory()[1] - before)
            client.reset()
            await asyncio.sleep(0.05)
    finally:
        tracemalloc.stop()
    refused, held = peaks
    assert refused < 1_000_000
    assert held > 10_000_000


@pytest.mark.gen_test
async def test_chunks(post, queue):
    """A body of unknown length is refused as soon as too much of it has arrived."""
    client = await post("/publish/room", "chunked")
    for _ in range(3):
        await client.send(b"8000\r\n%b\r\n" % (b"x" * 0x8000))
    assert Publish.finished == 0
    await client.send(b"8000\r\n%b\r\n" % (b"x" * 0x8000))
    reply = await asyncio.wait_for(read_reply(client), 2)
    assert (reply.status, reply.body) == (413, b"more than 100000 bytes in one request")
    assert Publish.finished == 1
    client = await post("/publish/room", "chunked")
    await client.send(b'4\r\n{"n"\r\n3\r\n:1}\r\n0\r\n\r\n')
    assert (await read_reply(client)).status == 200
    assert queue.backlog_events == [{"n": 1}]


@pytest.mark.parametrize("length", [7, "chunked"])
@pytest.mark.gen_test
async def test_who_leaves(post, length):
    """A client that leaves in the middle of its body causes no error."""
    client = await post("/publish/room", length)
    await client.send(b"5\r\n")
    client.close()
    client = await post("/publish/room", length)
    await client.send(b"5\r\n")
    client.reset()
    await asyncio.sleep(0.05)
    assert Publish.finished == 0


@pytest.mark.gen_test
async def test_expect(post, http_server_class):
    """A client that sends `Expect: 100-continue` with a body that is too large gets 413 instead of
    100.
    """
    client = await post("/publish/room", 100_001, "Expect: 100-continue")
    reply = await read_reply(client)
    assert reply.status == 413
    if http_server_class is FastServer:
        # The server cannot tell whether the body or the next request follows.
        assert reply.headers["connection"] == "close"
        client.half_close()
        assert await client.read_all() == b""
    client = await post("/publish/room", 7, "Expect: 100-continue")
    assert (await client.read_until(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
    await client.send(b'{"n":1}')
    assert (await read_reply(client)).status == 200


@pytest.mark.parametrize(
    ("path", "length"), [("/upload", 200_000), ("/streamed", 200_000), ("/answers", 200_000)]
)
@pytest.mark.gen_test
async def test_other_handlers(post, path, length):
    """Without a limit of the handler, the server's limit applies; a handler that reads its body
    itself has no limit.
    """
    client = await post(path, length)
    await client.send(b"x" * length)
    reply = await read_reply(client)
    assert (reply.status, reply.body) == (200, b"200000")


@pytest.mark.parametrize("length", [4097, "chunked"])
@pytest.mark.parametrize(
    ("path", "status"), [("/get", 405), ("/reads", 405), ("/nowhere", 404), ("/static/x", 405)]
)
@pytest.mark.gen_test
async def test_bodies_that_nobody_reads(post, app, tmp_path, length, path, status):
    """If the answer does not depend on the body, the answer is sent before the body has arrived."""
    app.static_path = tmp_path
    client = await post(path, length)
    body = b"x" * 4097
    await client.send(body[1:] if length == 4097 else b"%x\r\n%b\r\n" % (len(body), body))
    reply = await asyncio.wait_for(read_reply(client), 2)
    assert reply.status == status
    await client.send(b"x" if length == 4097 else b"0\r\n\r\n")
    await client.send(b"GET /get HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await read_reply(client)).body == b"read"


@pytest.mark.gen_test
async def test_a_method_that_tornado_does_not_know(http_server, http_port, raw):
    """An unknown method is answered with 405, with or without a body."""
    client = await raw(http_port)
    for length in (0, 5000):
        await client.send(b"FOO /upload HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % length)
        await client.send(b"x" * length)
        assert (await read_reply(client)).status == 405


class TestCompressed:
    """A server that decompresses request bodies."""

    @pytest.fixture
    def server_options(self):
        return {"decompress_request": True}

    @pytest.mark.gen_test
    async def test_publish(self, post, queue):
        """The limit applies to the decompressed body."""
        for size, status in ((99_990, 200), (100_000, 413)):
            body = gzip.compress(b'{"n":"%b"}' % (b"x" * size))
            client = await post("/publish/room", len(body), "Content-Encoding: gzip")
            await client.send(body)
            assert (await read_reply(client)).status == status
        assert len(queue.backlog_events) == 1


class TestPlainTornado:
    """The same handlers in a `tornado.web.Application`."""

    @pytest.fixture
    def app(self):
        return tornado.web.Application(RULES)

    @pytest.mark.gen_test
    async def test_publish(self, post, queue):
        """A body that is too large is refused after it has been read."""
        client = await post("/publish/room", 100_001)
        await client.send(b"x" * 100_001)
        reply = await read_reply(client)
        assert (reply.status, reply.body) == (413, b"more than 100000 bytes in one request")
        assert queue.backlog_events == []

"""`stream_request_body`: a handler takes the body in pieces, at its own speed."""

import asyncio

import pytest
from support.wire import read_reply, soon
from tornado.web import Application, RequestHandler, stream_request_body


@stream_request_body
class Upload(RequestHandler):
    def initialize(self, got):
        self.got = got

    async def prepare(self):
        connection = self.request.connection
        if limit := self.get_argument("limit", ""):
            connection.set_max_body_size(int(limit))
        if timeout := self.get_argument("timeout", ""):
            connection.set_body_timeout(float(timeout))

    async def data_received(self, chunk):
        self.got.append(chunk)
        await self.application.settings["gate"].wait()

    def post(self):
        self.write(str(sum(map(len, self.got))))


@pytest.fixture
def got():
    return []


@pytest.fixture
def app(got, gate):
    return Application([("/", Upload, {"got": got})], gate=gate)


@pytest.fixture
def gate():
    """Handlers take the next piece while this gate is open."""
    gate = asyncio.Event()
    gate.set()
    return gate


def head(length, path="/"):
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode()


@pytest.mark.parametrize("server_options", [{"chunk_size": 1000}])
@pytest.mark.gen_test
async def test_pieces(connect, got):
    """A piece has at most `chunk_size` bytes."""
    client = await connect(head(2500) + b"a" * 2500)
    assert (await read_reply(client)).body == b"2500"
    assert max(map(len, got)) <= 1000


@pytest.mark.gen_test
async def test_as_they_come(connect, got):
    """A piece is passed on immediately, even if it is short."""
    client = await connect(head(6))
    for size, piece in enumerate([b"ab", b"cd", b"ef"], 1):
        await client.send(piece)
        await soon(lambda size=size: len(got) == size)
    assert (await read_reply(client)).body == b"6"
    assert got == [b"ab", b"cd", b"ef"]


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.gen_test
async def test_flow_control(connect, got, gate, chunked):
    """While the handler does not take the next piece, the server stops reading."""
    size = 15_000_000
    gate.clear()
    start, body = head(size), b"a" * size
    if chunked:
        start = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (size, body)
    client = await connect(start)
    sending = asyncio.ensure_future(client.send(body))
    await soon(lambda: got)
    await asyncio.sleep(0.02)
    assert len(got) == 1
    assert not sending.done()
    gate.set()
    assert (await read_reply(client)).body == b"%d" % size
    await sending


@pytest.mark.gen_test
async def test_the_loop_runs_on(connect):
    """A client that sends without a pause does not block the event loop."""
    size = 15_000_000
    client = await connect(head(size))
    sending = asyncio.ensure_future(client.send(b"a" * size))
    answer = asyncio.ensure_future(read_reply(client))
    turns = 0
    while not answer.done():
        await asyncio.sleep(0)
        turns += 1
    assert answer.result().body == b"%d" % size
    assert turns > 40
    await sending


@pytest.mark.parametrize("server_options", [{"max_body_size": 100_000}])
@pytest.mark.gen_test
async def test_limits_of_one_request(connect):
    """A handler may change the limits for its own request only."""
    client = await connect(head(2, "/?limit=1") + b"ab")
    assert await client.read_all() == b"HTTP/1.1 400 Bad Request\r\n\r\n"
    client = await connect(head(200_000, "/?limit=200000"))
    await client.send(b"a" * 200_000)
    assert (await read_reply(client)).status == 200
    await client.send(head(200_000))
    assert await client.read_all() == b"HTTP/1.1 400 Bad Request\r\n\r\n"


@pytest.mark.parametrize("server_options", [{"body_timeout": 0.05}, {"body_timeout": 60.0}])
@pytest.mark.gen_test
async def test_body_timeout(connect, server_options):
    """After the timeout of the server or handler, the connection is closed without an answer."""
    path = "/" if server_options["body_timeout"] < 1 else "/?timeout=0.05"
    client = await connect(head(2, path) + b"a")
    started = asyncio.get_running_loop().time()
    assert await client.read_all() == b""
    assert asyncio.get_running_loop().time() - started > 0.04


@pytest.mark.parametrize("server_options", [{"body_timeout": 0.05}])
@pytest.mark.gen_test
async def test_only_of_the_body(connect, server_options):
    """The timeout ends with the body."""
    client = await connect(head(2) + b"a")
    await client.send(b"b")
    await read_reply(client)
    await asyncio.sleep(0.08)
    await client.send(head(1) + b"a")
    assert (await read_reply(client)).status == 200


@pytest.mark.parametrize("leaves", [False, True])
@pytest.mark.gen_test
async def test_what_it_raises(connect, got, gate, app, leaves, expect_log):
    """An exception in `data_received` closes the connection, and is always logged."""

    async def data_received(self, chunk):
        got.append(chunk)
        await gate.wait()
        raise ValueError

    gate.clear()
    app.add_handlers(".*", [("/raising", _upload("Raising", data_received), {"got": got})])
    client = await connect(head(2, "/raising") + b"a")
    await soon(lambda: got)
    if leaves:
        client.reset()
        await asyncio.sleep(0.02)
    with expect_log("tornado.application", "Uncaught exception") as records:
        gate.set()
        await soon(lambda: records)
    assert records[0].exc_info[0] is ValueError
    assert leaves or await client.read_all() == b""


@pytest.mark.gen_test
async def test_cancelled(connect, got, app, expect_log):
    """If the awaitable of `data_received` is cancelled, the connection is closed."""

    async def data_received(self, chunk):
        waiting = asyncio.get_running_loop().create_future()
        got.append(waiting)
        await waiting

    app.add_handlers(".*", [("/waiting", _upload("Waiting", data_received), {"got": got})])
    client = await connect(head(2, "/waiting") + b"a")
    await soon(lambda: got)
    with expect_log("tornado.application", "Uncaught exception"):
        got[0].cancel()
        assert await client.read_all() == b""


def _upload(name, data_received):
    """Makes a class `Upload` with another `data_received`."""
    return stream_request_body(type(name, (Upload,), {"data_received": data_received}))

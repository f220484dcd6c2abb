"""Large bodies, many requests, slow handlers: the server reads no faster than the handler."""

import asyncio

import pytest
from support.wire import open_sockets, read_reply, soon
from tornado.web import RequestHandler, stream_request_body

from tatsumaki_py import MessageQueue
from tatsumaki_py.server.fast_server import FastServer

HEAD = b"POST /upload HTTP/1.1\r\nHost: x\r\n"
SIZE = 1_000_000
sizes = []


@stream_request_body
class Upload(RequestHandler):
    """Takes the body more slowly than its clients send it, and answers with the size."""

    def prepare(self):
        self.size = 0

    async def data_received(self, chunk):
        self.size += len(chunk)
        await asyncio.sleep(0.001)

    def post(self):
        sizes.append(self.size)
        self.finish(str(self.size))


@pytest.fixture
def app(app):
    sizes.clear()
    app.add_handlers(r".*", [("/upload", Upload)])
    return app


@pytest.mark.parametrize(
    "rest",
    [
        b"Content-Length: %d\r\n\r\n" % SIZE + b"x" * SIZE,
        b"Transfer-Encoding: chunked\r\n\r\n"
        + (b"3e8\r\n" + b"x" * 1000 + b"\r\n") * (SIZE // 1000)
        + b"0\r\n\r\n",
    ],
    ids=["length", "chunks"],
)
@pytest.mark.gen_test
async def test_slow_handler(server, rest):
    """A body that is larger than the read-ahead of the server arrives completely."""
    assert (await server(HEAD + rest)).body == b"%d" % SIZE


@pytest.mark.parametrize("end", ["close", "half_close"])
@pytest.mark.gen_test
async def test_gone_after_a_body(server, app, end):
    """The upload of a client that sends its whole body and leaves is complete."""
    client = await server.connect(HEAD + b"Content-Length: %d\r\n\r\n" % SIZE + b"x" * SIZE)
    getattr(client, end)()
    await soon(lambda: sizes)
    assert sizes == [SIZE]


@pytest.mark.gen_test
async def test_small_chunks(server):
    """A body in chunks of one byte arrives, and other clients are served in the meantime."""
    body = b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 20_000 + b"0\r\n\r\n"
    client = await server.connect(HEAD + body[:-1])
    await server.is_well()
    await client.send(body[-1:])
    assert (await read_reply(client)).body == b"20000"


@pytest.mark.gen_test
async def test_many_requests(server, http_server):
    """Thousands of pipelined requests are answered one by one, and few of them are in memory."""
    request = b"GET /echo HTTP/1.1\r\nHost:x\r\n\r\n"
    poll = b"GET /chat/room/poll?client_id=a HTTP/1.1\r\nHost: x\r\n\r\n"
    client = await server.connect(poll)
    sending = asyncio.ensure_future(client.send(request * 20_000))
    queue = MessageQueue.instance("room")
    await soon(lambda: queue.clients)
    await asyncio.sleep(0.02)
    queue.publish({"n": 1})
    waiting = 0
    for _ in range(300):
        assert (await read_reply(client)).status == 200
        if isinstance(http_server, FastServer):
            (connection,) = http_server.connections()
            waiting = max(waiting, len(connection._requests.ahead))
    assert waiting < 200_000
    sending.cancel()


@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.gen_test
async def test_gone_behind_a_poll(server, end):
    """The server notices that a client leaves, however much it has sent behind its poll."""
    client = await server.connect(
        b"GET /chat/room/poll?client_id=a HTTP/1.1\r\nHost: x\r\n\r\n"
        + b"GET /echo HTTP/1.1\r\nHost: x\r\n\r\n" * 2500
    )
    await soon(lambda: MessageQueue.instance("room").clients)
    getattr(client, end)()
    await soon(lambda: not open_sockets(server.port))

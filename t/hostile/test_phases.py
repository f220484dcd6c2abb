"""If a client leaves in any phase of a request, in any way, its socket is closed and no error is
logged.
"""

import asyncio
import contextlib

import pytest
from support.wire import open_sockets, raw_small, small_buffers, soon  # noqa: F401
from tornado.iostream import StreamClosedError
from tornado.web import RequestHandler, stream_request_body

GET = b"GET /echo?a=1 HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /slow HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
PHASES = {
    "empty line": b"\r\n",
    "head": b"GET /echo HTTP/1.1\r\nHost:",
    "length": POST + b"Content-Length: 9\r\n\r\na",
    "no chunk": CHUNKED,
    "size": CHUNKED + b"5",
    "extension": CHUNKED + b"5;x=",
    "chunk": CHUNKED + b"5\r\nab",
    "end of a chunk": CHUNKED + b"5\r\nabcde\r",
    "trailers": CHUNKED + b"0\r\nX: y\r\n",
    "before 100 Continue": POST + b"Expect: 100-continue\r\nContent-Length: 9\r\n\r\n",
    "answered": GET,
    "answered, head": GET + b"GET /e",
    "polling": b"GET /chat/room/poll?client_id=a HTTP/1.1\r\nHost: x\r\n\r\n",
    "polling, pipelined": b"GET /chat/room/poll?client_id=a HTTP/1.1\r\nHost: x\r\n\r\n" + GET,
    "streaming": b"GET /events/room HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n",
    "streaming, pipelined": b"GET /events/room HTTP/1.1\r\nHost: x\r\n"
    b"Accept: text/event-stream\r\n\r\n" + GET,
    "refused": b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n" + b"x" * 1000,
    "refused, too long": b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 40_000,
    "answered early": b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\nabc",
    "busy with the head": b"GET /late HTTP/1.1\r\nHost: x\r\n\r\n",
    "busy with the head, and waiting": b"GET /waiting HTTP/1.1\r\nHost: x\r\n\r\n",
    "unread answer": b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n",
    "unread answers": b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n" * 3,
}


@stream_request_body
class Slow(RequestHandler):
    async def data_received(self, chunk):
        await asyncio.sleep(0.001)

    def post(self):
        pass


@stream_request_body
class Early(Slow):
    def prepare(self):
        self.send_error(403)


@stream_request_body
class Late(Slow):
    async def prepare(self):
        await asyncio.sleep(0.02)

    def get(self):
        self.write("late")


@stream_request_body
class Waiting(Late):
    def initialize(self):
        self.gone = asyncio.Event()

    async def get(self):
        await self.gone.wait()

    def on_connection_close(self):
        super().on_connection_close()
        self.gone.set()


class Large(RequestHandler):
    async def get(self):
        for _ in range(8):
            self.write(b"x" * 100_000)
            # It is not an error if the client leaves.
            with contextlib.suppress(StreamClosedError):
                await self.flush()


@pytest.fixture
def app(app):
    rules = {"/slow": Slow, "/early": Early, "/late": Late, "/waiting": Waiting, "/large": Large}
    app.add_handlers(r".*", list(rules.items()))
    return app


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("end", ["close", "reset", "half_close"])
@pytest.mark.gen_test
async def test_leaves(server, raw_small, small_buffers, phase, end):  # noqa: F811
    """A client leaves immediately, or while the server waits."""
    clients = [await raw_small(server.port) for _ in range(2)]
    for client, seconds in zip(clients, (0, 0.005), strict=True):
        await client.send(PHASES[phase])
        await asyncio.sleep(seconds)
        getattr(client, end)()
    if end == "half_close":
        # The client continues to read, and gets the data in flight.
        await asyncio.wait_for(asyncio.gather(*map(ended, clients)), 2)
    await soon(lambda: not open_sockets(server.port), 2)
    assert not [line for _, line, _ in server.records.lines if "ncaught" in line]


async def ended(client):
    with contextlib.suppress(ConnectionError):
        await client.read_all()
    client.close()

"""Peers that answer with given bytes, and record their requests."""

import asyncio
import contextlib

import pytest

from tatsumaki_py import HTTPClient


class Peer:
    """An HTTP server that sends `answers` in turn, and repeats the last one.

    For None, the server sends no answer; for a future, it sends the result when there is one.

    `requests` contains the bytes of each request, including the body. `left` is set when a
    connection has ended.
    """

    def __init__(self, *answers, close=True):
        self.requests = []
        self.left = asyncio.Event()
        self._answers = list(answers)
        self._close = close

    @classmethod
    async def start(cls, *answers, **options):
        peer = cls(*answers, **options)
        peer.server = await asyncio.start_server(peer._serve, "127.0.0.1", 0)
        peer.port = peer.server.sockets[0].getsockname()[1]
        peer.url = f"http://127.0.0.1:{peer.port}/"
        return peer

    async def _serve(self, reader, writer):
        with contextlib.suppress(ConnectionError, EOFError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            self.requests.append(head + await reader.readexactly(int(length or 0)))
            answer = self._answers[0] if len(self._answers) == 1 else self._answers.pop(0)
            if asyncio.isfuture(answer):
                answer = await answer
            if answer is not None:
                writer.write(answer)
            if answer is None or not self._close:
                await reader.read()
        writer.close()
        self.left.set()


@pytest.fixture
def peer(io_loop):
    """`there = await peer(b"HTTP/1.1 200 OK\\r\\n...", close=True)` starts a `Peer`."""
    peers = []

    async def start(*answers, **options):
        peers.append(await Peer.start(*answers, **options))
        return peers[-1]

    yield start
    for each in peers:
        each.server.close()
    # Let the handlers of open connections end before the loop is closed.
    io_loop.run_sync(lambda: asyncio.sleep(0.01))


@pytest.fixture
def client():
    return HTTPClient()


@pytest.fixture
def answer():
    """`answer("hello", "X-A: 1")` returns an answer, by default a 200, with body and headers."""

    def make(body="", *lines, status="200 OK"):
        body = body.encode() if isinstance(body, str) else body
        head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *lines]
        return "\r\n".join([*head, "", ""]).encode("latin-1") + body

    return make

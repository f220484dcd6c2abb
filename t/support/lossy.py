"""A network that loses connections: a proxy in front of a server, and what is to arrive through it
nevertheless.
"""

import asyncio
import contextlib
import random
import sys

import pytest

ENDLESS = sys.maxsize


class Proxy:
    """Hands bytes both ways between `port` and the server at `target`, and cuts connections.

    Args:
        budget: called for each direction of each new connection; after so many bytes it is cut.
        rng: decides how it is cut: with FIN, or with RST, which loses what is on its way.
    """

    def __init__(self, target, budget=lambda: ENDLESS, rng=None):
        self.target = target
        self.budget = budget
        self.rng = rng or random.Random(1)
        self.down = False
        """While true, nobody reaches the server."""
        self.silent = False
        """While true, new connections are accepted, and nothing is ever answered."""
        self.accepted = 0
        """How many connections there were."""
        self.ends = set()
        self._tasks = set()

    async def start(self):
        """Listens from now on."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Client(self), "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self):
        """Cuts all, and listens no more."""
        self._server.close()
        # Some may have been accepted, and not be known here yet.
        for _ in range(3):
            self.cut()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await asyncio.sleep(0)

    def cut(self):
        """Cuts all connections."""
        for end in list(self.ends):
            end.cut()

    def cut_after(self, size):
        """Cuts each connection after `size` more bytes for its client."""
        for end in self.ends:
            if not isinstance(end, _Client):
                end.left = size

    def freeze(self, answers_only=False):
        """Drops all that comes on the connections that there are now, also their end, as a router
        does that has forgotten them. `answers_only` drops what the server sends, and passes on what
        the clients send.
        """
        for end in self.ends:
            if not (answers_only and isinstance(end, _Client)):
                end.frozen = True

    def connect(self, client):
        """Finds the server for `client`."""
        task = asyncio.ensure_future(self._connect(client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, client):
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: _Server(self, client), "127.0.0.1", self.target)
        except OSError:
            client.transport.abort()


class _End(asyncio.Protocol):
    """One side of a connection: what comes here goes out at the other."""

    def __init__(self, proxy):
        self.proxy = proxy
        self.left = proxy.budget()
        self.other = self.transport = None
        self.frozen = False

    def connection_made(self, transport):
        self.transport = transport
        self.proxy.ends.add(self)

    def data_received(self, data):
        if self.frozen:
            return
        passed = data[: self.left]
        self.left -= len(passed)
        self.other.transport.write(passed)
        if self.left <= 0:
            self.cut()

    def eof_received(self):
        if self.other is not None and not (self.frozen or self.other.transport.is_closing()):
            self.other.transport.write_eof()
        return True

    def cut(self):
        polite = self.proxy.rng.random() < 0.5
        for end in (self, self.other):
            if end is not None and end.transport is not None:
                end.transport.close() if polite else end.transport.abort()

    def connection_lost(self, exc):
        self.proxy.ends.discard(self)
        if self.other is not None and self.other.transport is not None and not self.frozen:
            self.other.transport.close()

    def pause_writing(self):
        if self.other is not None:
            self.other.transport.pause_reading()

    def resume_writing(self):
        if self.other is not None and not self.other.transport.is_closing():
            self.other.transport.resume_reading()


class _Client(_End):
    def connection_made(self, transport):
        super().connection_made(transport)
        self.proxy.accepted += 1
        if self.proxy.down:
            transport.abort()
        elif self.proxy.silent:
            self.frozen = True
        else:
            transport.pause_reading()
            self.proxy.connect(self)


class _Server(_End):
    def __init__(self, proxy, client):
        super().__init__(proxy)
        self.other = client

    def connection_made(self, transport):
        super().connection_made(transport)
        self.other.other = self
        if self.other.transport.is_closing():
            transport.abort()
        else:
            self.other.transport.resume_reading()


@pytest.fixture
def proxy(http_server, http_port, io_loop):
    """A `Proxy` in front of the application under test."""
    proxy = Proxy(http_port)
    io_loop.run_sync(proxy.start)
    yield proxy
    io_loop.run_sync(proxy.stop)


BIG = {"big": "é\n" * 200_000}
ROUNDS = [
    # It is there.
    [
        {"text": "plain"},
        {"text": "Grüße ☃ 𝄞 \u2028 \u2029 \x85 \x0b \x0c \x1e \ufeff \x00 \x7f", "é": None},
    ],
    # These come while it is away.
    [
        {"text": "a\nb\r\nc\rd\n\n"},
        {"text": 'data: x\nid: 9-9\n\n: \\ " --', "": [[], {}, 1.5, -0.0, True]},
        {},
    ],
    # And the connection is cut in the middle of this one.
    [BIG, {"text": "last"}],
]
"""What is published in `misses_nothing`."""


async def misses_nothing(queue, proxy, client):
    """`client`, an asynchronous iterator of events, gets all `ROUNDS` once and in order, though its
    connection is cut in between.
    """
    here, away, cut = ROUNDS
    received = []

    async def collect():
        async for data in client:
            received.append(data)

    async def until(condition):
        while not condition():
            if task.done():
                task.result()
            await asyncio.sleep(0.005)

    task = asyncio.ensure_future(collect())
    try:
        await until(lambda: queue.clients)
        for event in here:
            queue.publish(event)
        await until(lambda: len(received) == 2)
        proxy.down = True
        proxy.cut()
        for event in away:
            queue.publish(event)
        await asyncio.sleep(0.05)
        proxy.down = False
        await until(lambda: len(received) == 5)
        proxy.cut_after(300_000)
        for event in cut:
            queue.publish(event)
        await until(lambda: len(received) >= 7)
        # Nothing comes behind it.
        await asyncio.sleep(0.05)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await client.aclose()
    assert received == here + away + cut

"""A network that fails: a proxy between clients and a server, which cuts connections, delays and
loses data.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Self

__all__ = ["Proxy"]

ENDLESS = sys.maxsize


class Proxy:
    """Passes bytes both ways between its own port and a server of this machine, and cuts
    connections on request::

        async with Proxy(server_port) as proxy:
            client = Subscriber(f"{proxy.url}/events/news")
            ...
            proxy.cut()

    Args:
        target: the port of the server at 127.0.0.1.
        budget: called for each direction of each new connection; after that number of bytes, the
            connection is cut.
        rng: decides how a connection is cut: by FIN, or by RST, which also loses data on its way.
    """

    def __init__(
        self,
        target: int,
        budget: Callable[[], int] = lambda: ENDLESS,
        rng: random.Random | None = None,
    ) -> None:
        self.target = target
        self.budget = budget
        self.rng = rng or random.Random(1)
        self.port = 0
        """The port on which it listens."""
        self.delay = 0.0
        """Seconds, by the loop's clock, by which all data and the end of a
        connection are delayed.
        """
        self.down = False
        """While true, connections are refused with RST."""
        self.silent = False
        """While true, new connections are accepted and never answered."""
        self.accepted = 0
        """The number of connections so far."""
        self._ends: set[_End] = set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """``"http://127.0.0.1:<port>"``."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> Self:
        """Listen."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Client(self), "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        """Cut all connections, and stop listening."""
        if self._server is not None:
            self._server.close()
        # Some may have been accepted and not be known here yet.
        for _ in range(3):
            self.cut()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await asyncio.sleep(0)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    def cut(self) -> None:
        """Cut all connections."""
        for end in list(self._ends):
            end.cut()

    def cut_after(self, size: int) -> None:
        """Cut each connection after `size` more bytes for its client."""
        for end in self._ends:
            if isinstance(end, _Server):
                end.left = size

    def freeze(self, answers_only: bool = False) -> None:
        """Drop all data on the present connections, and their end: neither side gets a FIN, as with
        a router that has lost its state. `answers_only` drops only the data of the server.
        """
        for end in self._ends:
            if not (answers_only and isinstance(end, _Client)):
                end.frozen = True

    def half_close(self) -> None:
        """Send a FIN to the server on each connection, as if the client had finished sending. Data
        of the server still reaches the clients.
        """
        for end in self._ends:
            if isinstance(end, _Server) and end.transport is not None:
                end.transport.write_eof()

    def _connect(self, client: _Client) -> None:
        task = asyncio.ensure_future(self._find_server(client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _find_server(self, client: _Client) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: _Server(self, client), "127.0.0.1", self.target)
        except OSError:
            if client.transport is not None:
                client.transport.abort()


class _End(asyncio.Protocol):
    """One side of a connection: its data is passed to the other side."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.left = proxy.budget()
        self.other: _End | None = None
        self.transport: asyncio.Transport | None = None
        self.frozen = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.proxy._ends.add(self)

    def data_received(self, data: bytes) -> None:
        self._later(self._pass, data)

    def _later(self, function: Callable[..., None], *args: bytes) -> None:
        if self.proxy.delay:
            asyncio.get_running_loop().call_later(self.proxy.delay, function, *args)
        else:
            function(*args)

    def _pass(self, data: bytes) -> None:
        out = self._out
        if self.frozen or out is None or out.is_closing():
            return
        passed = data[: self.left]
        self.left -= len(passed)
        out.write(passed)
        if self.left <= 0:
            self.cut()

    @property
    def _out(self) -> asyncio.Transport | None:
        return None if self.other is None else self.other.transport

    def eof_received(self) -> bool:
        self._later(self._pass_eof)
        return True

    def _pass_eof(self) -> None:
        out = self._out
        if out is not None and not (self.frozen or out.is_closing()):
            out.write_eof()

    def cut(self) -> None:
        polite = self.proxy.rng.random() < 0.5
        for end in (self, self.other):
            if end is not None and end.transport is not None:
                end.transport.close() if polite else end.transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self.proxy._ends.discard(self)
        self._later(self._pass_end)

    def _pass_end(self) -> None:
        out = self._out
        if out is not None and not self.frozen:
            out.close()

    def pause_writing(self) -> None:
        if self._out is not None:
            self._out.pause_reading()

    def resume_writing(self) -> None:
        if self._out is not None and not self._out.is_closing():
            self._out.resume_reading()


class _Client(_End):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert self.transport is not None
        self.proxy.accepted += 1
        if self.proxy.down:
            self.transport.abort()
        elif self.proxy.silent:
            self.frozen = True
        else:
            self.transport.pause_reading()
            self.proxy._connect(self)


class _Server(_End):
    def __init__(self, proxy: Proxy, client: _Client) -> None:
        super().__init__(proxy)
        self.client = client
        self.other = client

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.client.other = self
        waiting = self.client.transport
        if waiting is None or waiting.is_closing():
            assert self.transport is not None
            self.transport.abort()
        else:
            waiting.resume_reading()

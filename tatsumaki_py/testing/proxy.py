"""A proxy that acts like a failing network between clients and a server: it cuts connections, and
delays or loses data.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import sys
from collections import deque
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Self

__all__ = ["Proxy"]

ENDLESS = sys.maxsize
RST = struct.pack("ii", 1, 0)
"""The option SO_LINGER with which the kernel sends RST instead of FIN."""


class Proxy:
    """Passes bytes both ways between its own port and a server on this machine, and cuts
    connections on request::

        async with Proxy(server_port) as proxy:
            client = Subscriber(f"{proxy.url}/events/news")
            ...
            proxy.cut()

    Args:
        target: the port of the server on 127.0.0.1.
        budget: called for each direction of each new connection; returns the number of bytes after
            which the connection is cut.
        rng: decides how a connection is cut: with FIN, or with RST, which also loses data in
            flight.
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
        """The port on which the proxy listens."""
        self.delay = 0.0
        """Seconds, by the loop's clock, by which data and the ends of connections are delayed."""
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
        """Start listening."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Client(self), "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        """Cut all connections, and stop listening."""
        if self._server is not None:
            self._server.close()
        # The loop may have accepted connections whose `connection_made` has not been called yet.
        for _ in range(3):
            self.cut()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await asyncio.sleep(0)
        for end in self._ends:
            # The transport may still be sending to a peer that does not read.
            if end.transport is not None:
                end.transport.abort()
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
        """From now on, drop all data on the current connections, and do not pass their end on:
        neither side gets a FIN, as with a router that has lost its state. With `answers_only`, only
        the data from the server is dropped.
        """
        for end in self._ends:
            if not (answers_only and isinstance(end, _Client)):
                end.frozen = True

    def half_close(self) -> None:
        """Send a FIN to the server on each connection, as if the client had finished sending. Data
        from the server still reaches the clients.
        """
        for end in self._ends:
            if isinstance(end, _Server):
                end.send_fin()

    def _connect(self, client: _Client) -> None:
        task = asyncio.ensure_future(self._find_server(client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _find_server(self, client: _Client) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: _Server(self, client), "127.0.0.1", self.target)
        except OSError:
            client.reset()


class _End(asyncio.Protocol):
    """One side of a connection: its data is passed to the other side."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.left = proxy.budget()
        self.other: _End | None = None
        self.transport: asyncio.Transport | None = None
        self.frozen = False
        self._finished = False
        # An event loop does not keep the order of timers that are due at the same time.
        self._delayed: deque[Callable[[], None]] = deque()
        self._due = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.proxy._ends.add(self)

    def data_received(self, data: bytes) -> None:
        self._later(partial(self._pass, data))

    def _later(self, function: Callable[[], None]) -> None:
        """Call `function` after the delay, and after the functions that were given earlier."""
        if not (self.proxy.delay or self._delayed):
            function()
            return
        loop = asyncio.get_running_loop()
        self._due = max(self._due, loop.time() + self.proxy.delay)
        self._delayed.append(function)
        loop.call_at(self._due, self._next)

    def _next(self) -> None:
        self._delayed.popleft()()

    def _pass(self, data: bytes) -> None:
        other = self.other
        if self.frozen or other is None or other.finished:
            return
        assert other.transport is not None
        passed = data[: self.left]
        self.left -= len(passed)
        other.transport.write(passed)
        if self.left <= 0:
            self.cut()

    @property
    def finished(self) -> bool:
        """Whether nothing more can be sent to this side."""
        return self._finished or self.transport is None or self.transport.is_closing()

    @property
    def _out(self) -> asyncio.Transport | None:
        return None if self.other is None else self.other.transport

    def eof_received(self) -> bool:
        self._later(self._pass_eof)
        return True

    def _pass_eof(self) -> None:
        if self.other is not None and not self.frozen:
            self.other.send_fin()

    def send_fin(self) -> None:
        """Send a FIN to this side, and continue reading."""
        if not self.finished:
            assert self.transport is not None
            self.transport.write_eof()
            self._finished = True

    def cut(self) -> None:
        polite = self.proxy.rng.random() < 0.5
        for end in (self, self.other):
            if end is not None and end.transport is not None:
                end.transport.close() if polite else end.reset()

    def reset(self) -> None:
        """Disconnect this side with RST."""
        if self.transport is not None and not self.transport.is_closing():
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST)
            self.transport.abort()

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
            self.reset()
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
        # The client may have been frozen while the server was not connected yet.
        self.frozen = client.frozen

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.client.other = self
        waiting = self.client.transport
        if waiting is None or waiting.is_closing():
            self.reset()
        else:
            waiting.resume_reading()

"""The steps of a stop.

1. Health checks fail (`Health.draining`), for `drain_delay` seconds, so that load balancers send no
   more requests.
2. The server stops listening. Idle connections are closed after a short wait for a request that is
   on its way.
3. Requests in flight are finished, for up to `grace` seconds. Their events are accepted. After
   that, tasks are cancelled.
4. Publishing ends. Accepted events reach their readers: waiting polls are answered, and each stream
   ends when all events are sent, or at the end of `grace`.
5. Services and hooks stop (`Life.stop`), and the engine is closed, even after a failed start.

Rules:
1. No step blocks the event loop: many connections are ended in turns of `TURN` seconds.
2. The log says how many requests and streams were cut.
3. Steps 4 and 5 end parts that all servers of an event loop share (`side_by_side`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from tornado.iostream import IOStream
from tornado.websocket import WebSocketHandler

from tatsumaki_py.health import Health
from tatsumaki_py.life import Life, wait_for_end
from tatsumaki_py.message_queue import MessageQueue
from tatsumaki_py.message_queue.source import Follower
from tatsumaki_py.push.open_streams import open_streams
from tatsumaki_py.push.stream import Stream
from tatsumaki_py.push.websocket import GOING_AWAY
from tatsumaki_py.server.http_server import ListeningServer
from tatsumaki_py.server.in_flight import (
    Answer,
    InFlight,
    Request,
    tornado_websockets,
    waiting_handlers,
)
from tatsumaki_py.server.side_by_side import Servers

__all__ = ["Drain", "Limits", "close_engine"]

_log = logging.getLogger("tatsumaki")
T = TypeVar("T")

TURN = 0.002
"""Seconds after which the loop may do other work."""
LOOK = 0.01
"""Seconds between two checks."""
ON_ITS_WAY = 0.2
"""Seconds to wait for a request on an idle connection. A POST to a closed connection is lost,
because HTTP does not allow a client or a proxy to repeat it (RFC 9110 section 9.2.2).
"""
TELL = 0.5
"""Seconds after which the log says what the server waits for."""
LAST = 1.0
"""Seconds for the last bytes, and for the answer to the close frame of a WebSocket."""
ENGINE = 5.0
"""Seconds for closing the engine."""
SOONEST = 500
"""Milliseconds after which the first client reconnects."""
RETURNS = 1000
"""Clients that reconnect per second."""


@dataclass(frozen=True)
class Limits:
    """How long the steps of a stop may take, in seconds; see `Server`."""

    grace: float
    drain_delay: float
    drain_time: float

    def __post_init__(self) -> None:
        for name in ("grace", "drain_delay", "drain_time"):
            value: object = getattr(self, name)
            if not isinstance(value, (int, float)) or not 0 <= value < math.inf:
                raise ValueError(f"{name}= takes a number of seconds, 0 or more, not {value!r}")


class Drain:
    """The stop of one server. Created when the server begins to serve."""

    def __init__(self, server: ListeningServer, life: Life, limits: Limits) -> None:
        self._server = server
        self._life = life
        self._limits = limits
        # The queues of another thread's loop stay open.
        self._owns_queues = MessageQueue._registry.thread.claim()
        self._servers = Servers.current()
        self._servers.add(self)
        self._began = 0.0
        self._cut_requests = self._cut_streams = 0

    async def run(self) -> None:
        """End everything."""
        health, registry, servers = Health.current(), MessageQueue._registry, self._servers
        servers.stop(self)
        health.draining = not servers.go_on
        try:
            await asyncio.sleep(self._limits.drain_delay)
            self._began = time.monotonic()
            end = self._began + self._limits.grace
            self._server.stop()
            self._server.keep_no_connection()
            await self._finish_requests(end)
            # Tasks may publish, so they end before publishing does.
            await self._life.cancel_tasks()
            await servers.finished(self)
            if self._owns_queues:
                registry.closed = not servers.go_on
            await self._end_streams(max(end, time.monotonic() + LAST))
            self._tell_cut()
            await self._life.stop()
            if self._owns_queues and servers.is_last(self):
                await _close()
        finally:
            # The process may run another server later.
            if servers.is_last(self):
                health.draining = False
                if self._owns_queues:
                    registry.closed = False
            servers.remove(self)

    # -- requests in flight

    async def _finish_requests(self, end: float) -> None:
        # Bytes that have already arrived are read in the next iterations.
        for _ in range(3):
            await asyncio.sleep(0)
        told = False
        arrived = self._began + min(ON_ITS_WAY, self._limits.grace)
        early = time.monotonic() < arrived
        busy = await self._in_flight(keep_idle=early)
        while busy and (now := time.monotonic()) < end:
            if not told and now > self._began + TELL:
                told = True
                _log.info(
                    "stopping: waiting for %d requests in flight, for up to %.1f more seconds; "
                    "a second signal (Ctrl-C) stops immediately",
                    len(busy),
                    end - now,
                )
            await asyncio.sleep(LOOK)
            waiting = waiting_handlers()
            busy = [one for one in busy if one.busy(waiting)]
            if not busy or (early and time.monotonic() >= arrived):
                early = time.monotonic() < arrived
                busy = await self._in_flight(keep_idle=early)
        waiting = waiting_handlers()
        await self._cut([one for one in busy if one.busy(waiting)])

    async def _in_flight(self, *, keep_idle: bool = False) -> list[InFlight]:
        """All requests in flight. Idle connections are closed; with `keep_idle`, each counts as a
        request that may be on its way.
        """
        found: list[InFlight] = []
        waiting = waiting_handlers()
        async for connection in _in_turns(self._server.connections()):
            request = Request(connection)
            if request.busy(waiting) or (keep_idle and connection.idle):
                found.append(request)
            elif connection.idle:
                connection.close()
        async for one in _in_turns(open_streams()):
            if one.answers():
                found.append(Answer(one))
        return found

    # -- clients that wait for events

    async def _end_streams(self, end: float) -> None:
        """Answer the polls, and end each stream as soon as it has all events."""
        clients = sum(one.long_polls for one in self._followers())
        clients += sum(1 for _ in open_streams())
        retry = _Retry(clients, self._limits.drain_time)
        await self._end_polls(retry, long_polls=True)
        ended: list[Stream] = []
        while True:
            left: list[Stream] = []
            # A request in flight may have opened more streams.
            async for stream in _in_turns(open_streams()):
                (ended if stream.expire(retry.next()) else left).append(stream)
            if not left or time.monotonic() >= end:
                break
            await asyncio.sleep(LOOK)
        # Another stopping server may have cut some.
        self._cut_streams += sum(1 for stream in left if not stream.end)
        async for stream in _in_turns(left):
            stream.cut()
        sockets: list[IOStream] = []
        async for socket in _in_turns(tornado_websockets()):
            # Read first, because Tornado forgets the stream when it sends the close frame.
            connection = None if socket.ws_connection is None else socket.ws_connection.stream
            if connection is not None:
                sockets.append(connection)
            self._close(socket)
        if not self._servers.go_on:
            # Plain Tornado handlers that poll in a loop now write the end of their answers.
            await self._end_polls(retry)
        await self._last_bytes(ended, sockets, end)

    @staticmethod
    def _close(socket: WebSocketHandler) -> None:
        try:
            socket.close(GOING_AWAY)
        except Exception:
            _log.exception("a WebSocket could not be closed")

    def _followers(self) -> list[Follower]:
        return MessageQueue._registry.followers() if self._owns_queues else []

    async def _end_polls(self, retry: _Retry, *, long_polls: bool = False) -> None:
        for follower in self._followers():
            ending = follower.end_polls(long_polls=long_polls, retry=retry.next_seconds)
            async for _ in _in_turns(ending):
                pass

    async def _last_bytes(self, ended: list[Stream], sockets: list[IOStream], end: float) -> None:
        """Wait until all connections are closed."""
        last = time.monotonic() + LAST
        while True:
            busy = await self._in_flight()
            now = time.monotonic()
            ended = [one for one in ended if one.wire.fileno() != -1]
            sockets = [one for one in sockets if not one.closed()]
            writing = sum(one.writing() for one in sockets)
            closing = (ended or sockets) and now < last
            if not (busy or writing or closing) or now >= max(end, last):
                break
            await asyncio.sleep(LOOK)
        # The others are WebSockets whose clients do not answer the close frame.
        self._cut_streams += writing + sum(stream.waiting is not None for stream in ended)
        async for stream in _in_turns(ended):
            stream.cut()
        for socket in sockets:
            socket.close()
        await self._cut(busy)
        # The handlers of the remaining connections may poll forever.
        await self._cut([Request(stream) for stream in self._server.connections()])
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._server.close_all_connections(), LAST)

    # -- the end

    async def _cut(self, requests: Sequence[InFlight]) -> None:
        self._cut_requests += len(requests)
        for request in requests:
            request.cut()
        # Some handlers finish their answers when they are notified.
        for _ in range(3):
            await asyncio.sleep(0)
        for request in requests:
            request.finish()

    def _tell_cut(self) -> None:
        if self._cut_requests or self._cut_streams:
            _log.warning(
                "cut after %.1f seconds: %d requests and %d streams",
                time.monotonic() - self._began,
                self._cut_requests,
                self._cut_streams,
            )


async def close_engine() -> None:
    """Close the engine after a failed start, unless another server of the running loop serves."""
    if MessageQueue._registry.thread.claim() and Servers.current().is_last(None):
        await _close()


async def _close() -> None:
    close = asyncio.ensure_future(MessageQueue._registry.engine.close())
    await wait_for_end(close, "the engine", "close", ENGINE)


class _Retry:
    """Spreads clients evenly over a time.

    Args:
        clients: how many there are.
        longest: the maximum of that time, in seconds.
    """

    def __init__(self, clients: int, longest: float) -> None:
        self._clients = max(clients, 1)
        self._spread = 1000 * min(longest, clients / RETURNS)
        self._told = 0

    def next(self) -> int:
        """The delay of the next client in milliseconds."""
        place = (self._told % self._clients + random.random()) / self._clients
        self._told += 1
        return SOONEST + round(self._spread * place)

    def next_seconds(self) -> int:
        """The delay of the next client in whole seconds, for the header ``Retry-After``."""
        return math.ceil(self.next() / 1000)


async def _in_turns(items: Iterable[T]) -> AsyncIterator[T]:
    """Yields `items`, with a pause for other work after each turn."""
    end = time.monotonic() + TURN
    for item in items:
        yield item
        if time.monotonic() > end:
            await asyncio.sleep(0)
            end = time.monotonic() + TURN

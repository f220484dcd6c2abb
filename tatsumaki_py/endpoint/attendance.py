"""Calls the hooks for subscribers that arrive and leave.

Rules:
1. The hooks of one client and one channel are called one at a time, in the order of the arrivals
   and departures that they report, even across requests. Each request of an anonymous client counts
   as a separate client.
2. A hook is called immediately if no other hook of that client and channel is running.
3. An exception that a hook raises is reported, and the next hook is called.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextvars import Context, copy_context
from typing import NamedTuple

__all__ = ["Attendance", "Hook"]

Hook = Callable[[str], Awaitable[None] | None]

MAX_WAITING = 100
"""The number of calls that may wait for a slow hook of one client and one channel. When this many
wait, a new call and the last waiting call are both dropped if one is an arrival and the other a
departure.
"""


class Attendance:
    """Calls hooks for a subscriber of some channels.

    Args:
        channels: the names of the channels; each hook is called once for each channel.
        client: the name of the client; None if it is anonymous.
        came, left: the hooks.
        failed: called with an exception that a hook raises.
        hook: the name of `left` for other processes; see `Presence.arrive`.

    Calling the object calls `end`.
    """

    __slots__ = ("_came", "_channels", "_client", "_failed", "_gone", "_known", "_left", "hook")

    def __init__(
        self,
        channels: Sequence[str],
        client: str | None,
        came: Hook,
        left: Hook,
        failed: Callable[[Exception], object],
        hook: str = "",
    ) -> None:
        self._channels = channels
        self._client = client
        self._came = came
        self._left = left
        self._failed = failed
        self._known = self._gone = False
        self.hook = hook

    def begin(self, new: bool) -> None:
        """Note that a poll has begun. With `new`, the client was not a subscriber before."""
        if new:
            self._call(True)
        self._known = True
        if self._gone:
            self.end()

    def again(self) -> None:
        """Another process called `left` for a subscriber that is still here: call `came` again."""
        self._call(True)

    def __call__(self) -> None:
        self.end()

    def end(self) -> None:
        """Note that the subscriber has left, perhaps before `begin`."""
        self._gone = True
        if self._known:
            self._call(False)

    def _call(self, came: bool) -> None:
        hook = self._came if came else self._left
        for channel in self._channels:
            client = self if self._client is None else self._client
            call = _Call(came, hook, channel, self._failed, copy_context())
            _Line.enter((channel, client), call)


class _Call(NamedTuple):
    """A due call of a hook."""

    came: bool
    hook: Hook
    channel: str
    failed: Callable[[Exception], object]
    context: Context
    """The context of the request that the call is for. When the hook is called, another request may
    be current.
    """

    def begin(self) -> asyncio.Future[None] | None:
        """Call the hook. If it returns an awaitable, returns a future for it."""
        try:
            result = self.context.run(self.hook, self.channel)
        except Exception as error:
            self.failed(error)
            return None
        if not inspect.isawaitable(result):
            return None
        return self.context.run(asyncio.ensure_future, self._wait(result))

    async def _wait(self, result: Awaitable[None]) -> None:
        try:
            await result
        except Exception as error:
            self.failed(error)


class _Line:
    """The running hook call for one client and one channel, and the calls that wait for it."""

    __slots__ = ("_key", "_running", "_waiting")

    def __init__(self, key: Hashable) -> None:
        self._key = key
        self._waiting: deque[_Call] = deque()
        # Keep a reference: an event loop has only weak references to its tasks.
        self._running: asyncio.Future[None] | None = None

    @classmethod
    def enter(cls, key: Hashable, call: _Call) -> None:
        """Make `call` when the calls before it are done."""
        line = _lines.get(key)
        if line is not None and not line._lost():
            line._add(call)
        else:
            line = _lines[key] = cls(key)
            line._add(call)
            line._next()

    def _lost(self) -> bool:
        """Whether the loop of the running call was closed, so that the call will never end."""
        return self._running is not None and self._running.get_loop().is_closed()

    def _add(self, call: _Call) -> None:
        if len(self._waiting) >= MAX_WAITING and self._waiting[-1].came is not call.came:
            self._waiting.pop()
        else:
            self._waiting.append(call)

    def _next(self, _: asyncio.Future[None] | None = None) -> None:
        self._running = None
        try:
            while self._waiting and self._running is None:
                self._running = self._waiting.popleft().begin()
        finally:
            if self._running is not None:
                self._running.add_done_callback(self._next)
            else:
                del _lines[self._key]


_lines: dict[Hashable, _Line] = {}

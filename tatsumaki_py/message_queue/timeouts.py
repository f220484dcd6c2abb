"""The timeouts of long polls: those due in the same tick share one timer of the loop.

Rules:
1. A timeout fires up to `TICK` seconds late, never early. A timeout of less than `SHORT` seconds
   has its own timer, and is exact.
2. A poll that ends leaves its bucket immediately, so it does not stay in memory until its timeout.
3. Only the timers of a loop hold a strong reference to its `Timeouts` object, which refers to the
   loop weakly. The object is therefore freed with the loop.
4. When many timeouts are due, the loop gets to do other work every `TURN` seconds.
"""

from __future__ import annotations

import asyncio
import logging
import time
import weakref
from contextvars import Context
from typing import Any, Protocol

__all__ = ["LONG", "SHORT", "TICK", "Limited", "Timeouts"]

TICK = 0.05
SHORT = 1.0
LONG = 1e9
"""The longest timeout, in seconds, that shares a timer."""
TURN = 0.01

_log = logging.getLogger("tatsumaki")


class Limited(Protocol):
    """A long poll, as this file sees it."""

    due: dict[Any, None] | None
    """The bucket that holds the poll."""

    def timed_out(self) -> None:
        """The timeout has passed without an event."""


class Timeouts:
    """The timeouts of one event loop."""

    __slots__ = ("__weakref__", "_buckets", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        self._buckets: dict[int, dict[Limited, None]] = {}

    @classmethod
    def add(cls, limited: Limited, seconds: float) -> None:
        """Call `limited.timed_out` in `seconds`, unless `limited` leaves its bucket earlier."""
        global _last
        loop = asyncio.get_running_loop()
        timeouts = None if _last is None else _last()
        if timeouts is None or timeouts._loop() is not loop:
            timeouts = cls(loop)
            _last = weakref.ref(timeouts)
        tick = int((loop.time() + seconds) / TICK) + 1
        bucket = timeouts._buckets.get(tick)
        if bucket is None:
            bucket = timeouts._buckets[tick] = {}
            # Outside of the current request's context.
            loop.call_at(tick * TICK, timeouts._ring, tick, context=Context())
        bucket[limited] = None
        limited.due = bucket

    def _ring(self, tick: int) -> None:
        bucket = self._buckets[tick]
        began = time.perf_counter()
        try:
            # A callback may end other polls, which leave the bucket.
            while bucket and time.perf_counter() - began < TURN:
                limited, _ = bucket.popitem()
                limited.due = None
                try:
                    limited.timed_out()
                except Exception:
                    _log.exception("a timeout could not be handled")
        finally:
            if bucket:
                # Let other work run. After an exception that ends the loop, the rest is handled if
                # the loop runs again.
                asyncio.get_running_loop().call_soon(self._ring, tick, context=Context())
            else:
                del self._buckets[tick]


_last: weakref.ref[Timeouts] | None = None
"""The timeouts of the loop that was used last, if they are still needed."""

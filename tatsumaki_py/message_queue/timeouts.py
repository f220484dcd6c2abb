"""The time-outs of long polls: those that are due in the same tick share one timer of the loop.

Rules:
1. A time-out comes up to `TICK` seconds late, never early. One of less than `SHORT` seconds has a
   timer of its own, and is exact.
2. A poll that ends leaves its bucket at once: nothing of it is kept until its time-out.
3. Only the timers of the loop refer to this object, and it does not refer to the loop: it ends with
   the loop.
4. Many that are due let the loop do other work every `TURN` seconds.
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
"""Seconds up to which a time-out may be added."""
TURN = 0.01

_log = logging.getLogger("tatsumaki")


class Limited(Protocol):
    """A long poll, as it is seen here."""

    due: dict[Any, None] | None
    """The bucket that it is in."""

    def timed_out(self) -> None:
        """Its time-out has passed without an event."""


class Timeouts:
    """The time-outs of one event loop."""

    __slots__ = ("__weakref__", "_buckets", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        self._buckets: dict[int, dict[Limited, None]] = {}

    @classmethod
    def add(cls, limited: Limited, seconds: float) -> None:
        """Call `limited.timed_out` in `seconds`, unless it leaves its bucket before."""
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
            # Outside of the context of the request that is being handled.
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
                    _log.exception("a time-out was not handled")
        finally:
            if bucket:
                # Others get their turn. Or the loop is about to end, and may go on.
                asyncio.get_running_loop().call_soon(self._ring, tick, context=Context())
            else:
                del self._buckets[tick]


_last: weakref.ref[Timeouts] | None = None
"""Those of the loop that was used last, if they are still needed."""

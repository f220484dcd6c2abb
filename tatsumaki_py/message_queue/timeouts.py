"""The time-outs of long polls: those that are due in the same tick share one timer of the loop.

Rules:
1. A time-out comes up to `TICK` seconds late, never early. One of less than `SHORT` seconds has a
   timer of its own, and is exact.
2. A poll that ends leaves its bucket at once: nothing of it is kept until its time-out.
3. The timers of the loop refer to this object, and it does not refer to the loop.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from contextvars import Context
from typing import Any, Protocol

__all__ = ["SHORT", "TICK", "Limited", "Timeouts"]

TICK = 0.05
SHORT = 1.0

_log = logging.getLogger("tatsumaki")


class Limited(Protocol):
    """A long poll, as it is seen here."""

    due: dict[Any, None] | None
    """The bucket that it is in."""

    def timed_out(self) -> None:
        """Its time-out has passed without an event."""


class Timeouts:
    """The time-outs of one event loop."""

    __slots__ = ("_buckets", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        self._buckets: dict[int, dict[Limited, None]] = {}

    @classmethod
    def add(cls, limited: Limited, seconds: float) -> None:
        """Call `limited.timed_out` in `seconds`, unless it leaves its bucket before."""
        global _last
        loop = asyncio.get_running_loop()
        timeouts = _last
        if timeouts is None or timeouts._loop() is not loop:
            timeouts = _last = cls(loop)
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
        try:
            # A callback may end other polls, which leave the bucket.
            while bucket:
                limited = next(iter(bucket))
                del bucket[limited]
                limited.due = None
                try:
                    limited.timed_out()
                except Exception:
                    _log.exception("a time-out was not handled")
        finally:
            if bucket:
                # The loop is about to end, and may go on.
                asyncio.get_running_loop().call_soon(self._ring, tick, context=Context())
            else:
                del self._buckets[tick]


_last: Timeouts | None = None
"""Those of the loop that was used last."""

"""One timer for all periodic work of the streams of an event loop.

Rules:
1. Each member is in one bucket, that of its next turn, where it costs one item of a list. At its
   turn, a member says when it wants the next one, or leaves. No member is removed before its turn.
2. A turn comes up to `TICK` seconds late. If a turn raises an exception, this is logged, and the
   member has no further turns. Even then, the timer for the next tick is set.
3. The timer of the loop refers to the wheel, and the wheel does not refer to the loop: both are
   freed together.
"""

from __future__ import annotations

import asyncio
import logging
import random
from contextvars import Context
from typing import Protocol

from tatsumaki_py.push.per_loop import per_loop

__all__ = ["TICK", "Turning", "Wheel", "jittered"]

TICK = 0.25
"""Seconds that one bucket covers. With 10 000 streams and a heartbeat every 25 s, a bucket holds a
hundred streams.
"""


_log = logging.getLogger("tatsumaki")


def jittered(amount: float, jitter: float) -> float:
    """`amount` less a random fraction of it, up to `jitter`, so that clients that connected
    together do not come due together.
    """
    return amount * (1 - jitter * random.random())


class Turning(Protocol):
    """An object that has a turn from time to time."""

    def turn(self) -> float | None:
        """Do what is due. Returns the seconds until the next turn, or None for no further turn."""


class Wheel:
    """The turns of one event loop."""

    def __init__(self) -> None:
        self._buckets: dict[int, list[Turning]] = {}
        # The tick for which a timer is set.
        self._due: int | None = None

    @classmethod
    def current(cls) -> Wheel:
        """The wheel of the running loop."""
        return per_loop(cls)

    def add(self, turning: Turning, delay: float) -> None:
        """Let `turning` have its turn in `delay` seconds."""
        tick = int((asyncio.get_running_loop().time() + delay) / TICK) + 1
        bucket = self._buckets.get(tick)
        if bucket is None:
            bucket = self._buckets[tick] = []
            if self._due is None or tick < self._due:
                self._arm(tick)
        bucket.append(turning)

    def members(self) -> list[Turning]:
        """All members. Some may be listed twice."""
        return [turning for bucket in self._buckets.values() for turning in bucket]

    def _arm(self, tick: int) -> None:
        self._due = tick
        # Use a new context: the timer would keep the current one, that of a request, alive.
        loop = asyncio.get_running_loop()
        loop.call_at(tick * TICK, self._turn, tick, context=Context())

    def _turn(self, due: int) -> None:
        if due != self._due:
            # A timer for an earlier tick replaced this one, and sets the next.
            return
        now = max(due, int(asyncio.get_running_loop().time() / TICK))
        try:
            for tick in sorted(tick for tick in self._buckets if tick <= now):
                bucket = self._buckets[tick]
                bucket.reverse()
                while bucket:
                    self._take_turn(bucket.pop())
                del self._buckets[tick]
        finally:
            self._due = None
            if self._buckets:
                self._arm(min(self._buckets))

    def _take_turn(self, turning: Turning) -> None:
        try:
            delay = turning.turn()
            if delay is not None:
                self.add(turning, delay)
        except Exception:
            _log.exception("%s failed", type(turning).__name__)

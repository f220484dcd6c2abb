"""One timer for all that the streams of an event loop do from time to time.

Rules:
1. What is in the wheel is in one bucket, that of its next turn, and costs a place in a list. At its
   turn it says when it wants the next one, or leaves; nothing is taken out before.
2. A turn comes up to `TICK` seconds late. One that fails is logged, and is the last one of what
   failed. However the turns of a tick end, the loop calls for the next ones.
3. The loop holds the wheel, by its timer, and not the other way round: they go together.
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
"""Seconds of one bucket: with 10 000 streams and heartbeats every 25 s, a hundred streams."""


_log = logging.getLogger("tatsumaki")


def jittered(amount: float, jitter: float) -> float:
    """`amount` less a random part of it, up to `jitter`: who came together goes on apart."""
    return amount * (1 - jitter * random.random())


class Turning(Protocol):
    """What has its turn from time to time."""

    def turn(self) -> float | None:
        """Do what is due. Returns the seconds until the next turn; None: there is none."""


class Wheel:
    """The turns of one event loop."""

    def __init__(self) -> None:
        self._buckets: dict[int, list[Turning]] = {}
        # The tick that the loop is to call for.
        self._due: int | None = None

    @classmethod
    def current(cls) -> Wheel:
        """That of the running loop."""
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

    def _arm(self, tick: int) -> None:
        self._due = tick
        # Outside of the context of the request that happens to be handled.
        loop = asyncio.get_running_loop()
        loop.call_at(tick * TICK, self._turn, tick, context=Context())

    def _turn(self, due: int) -> None:
        if due != self._due:
            # An earlier one was asked for since, and it asked for the next.
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

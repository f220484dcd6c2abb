"""Ends a stream after its maximum time. Its client reconnects, perhaps to another process.

Rule: a stream ends only when everything that it was given has been sent. If the stream is not ready
when its time is over, it is asked again until it is ready.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from tatsumaki_py.push.wheel import TICK, Wheel, jittered

__all__ = ["Lasting", "Lifetime"]

JITTER = 0.1
LOOK = 60.0
"""The most seconds that may pass before a `Lifetime` notices that its stream is gone."""


class Lasting(Protocol):
    """A stream, as its `Lifetime` sees it."""

    @property
    def over(self) -> bool:
        """Whether the stream has ended."""

    def expire(self) -> bool:
        """End the stream, if that is possible now. Returns whether it has ended."""

    def fail(self, error: BaseException) -> None:
        """`error` was raised while the stream was being ended: cut it off."""


class Lifetime:
    """Ends one stream after `seconds`, less a jitter. Made only for a stream with a limit."""

    __slots__ = ("_end", "_stream")

    def __init__(self, stream: Lasting, seconds: float, wheel: Wheel) -> None:
        self._stream = stream
        delay = jittered(seconds, JITTER)
        self._end = asyncio.get_running_loop().time() + delay
        wheel.add(self, min(delay, LOOK))

    def turn(self) -> float | None:
        """End the stream, if it is due."""
        try:
            return self._turn()
        except Exception as error:
            self._stream.fail(error)
            return None

    def _turn(self) -> float | None:
        if self._stream.over:
            return None
        left = self._end - asyncio.get_running_loop().time()
        if left > 0:
            return min(left, LOOK)
        return None if self._stream.expire() else TICK

"""Measures how late the event loop is.

Rule: a timer of the loop measures the delay, so no thread is needed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import Context

from tatsumaki_py.counters import COUNTERS
from tatsumaki_py.push.per_loop import per_loop

__all__ = ["LoopLag"]

INTERVAL = 0.25
"""Seconds between two measurements."""
RECENT = 8
"""The number of measurements that count as recent: two seconds' worth."""


class LoopLag:
    """Measures how late a timer of the running loop is called. The measurement starts with the
    first use and stops with the loop.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._late: deque[float] = deque(maxlen=RECENT)
        self._due = 0.0
        self._wait()

    @classmethod
    def current(cls) -> LoopLag:
        """The measurement of the running loop."""
        return per_loop(cls)

    @property
    def recent(self) -> float:
        """The longest delay of the last two seconds, in seconds."""
        return max(0.0, self._loop.time() - self._due, *self._late)

    def _wait(self) -> None:
        self._due = self._loop.time() + INTERVAL
        self._loop.call_at(self._due, self._ring, context=Context())

    def _ring(self) -> None:
        late = max(0.0, self._loop.time() - self._due)
        COUNTERS.lag.observe(late)
        self._late.append(late)
        self._wait()

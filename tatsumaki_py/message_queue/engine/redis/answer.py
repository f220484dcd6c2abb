"""The result of a publish: a future that waits for the reply from Redis.

Rule: errors that no code waits for are logged, in at most one line per second.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Generator
from typing import Any

__all__ = ["Answer", "Unheard"]

_log = logging.getLogger("tatsumaki")

PAUSE = 1.0
"""Seconds between two lines."""


class Unheard:
    """Counts failed publishes that no code waited for."""

    def __init__(self) -> None:
        self._count = 0
        self._last: Exception | None = None
        self._timer: asyncio.TimerHandle | None = None

    def add(self, error: Exception) -> None:
        """Count one more failed publish."""
        self._count += 1
        self._last = error
        if self._timer is None:
            try:
                self._timer = asyncio.get_running_loop().call_later(PAUSE, self.report)
            except RuntimeError:
                self.report()

    def report(self) -> None:
        """Log the count."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._count:
            _log.error("%d publishes that were not awaited failed: %s", self._count, self._last)
            self._count, self._last = 0, None


class Answer(asyncio.Future[list[str]]):
    """A future of the ids of the events."""

    def __init__(self, unheard: Unheard) -> None:
        super().__init__()
        self._unheard = unheard
        self._heard = False

    def __await__(self) -> Generator[Any, None, list[str]]:
        self._heard = True
        return super().__await__()

    def add_done_callback(self, *args: Any, **options: Any) -> None:
        self._heard = True
        super().add_done_callback(*args, **options)

    def result(self) -> list[str]:
        self._heard = True
        return super().result()

    def give(self, ids: list[str]) -> None:
        """The events are accepted."""
        if self._is_wanted():
            self.set_result(ids)

    def fail(self, error: Exception) -> None:
        """The events are not accepted."""
        if self._is_wanted():
            self.set_exception(error)
            # Otherwise, asyncio would also log it.
            self.exception()

    def _is_wanted(self) -> bool:
        """Whether code may still wait for the answer: it is not done, and its loop is open."""
        return not self.done() and not self.get_loop().is_closed()

    def __del__(self) -> None:
        if not self._heard and self.done() and not self.cancelled():
            error = super().exception()
            if isinstance(error, Exception):
                self._unheard.add(error)

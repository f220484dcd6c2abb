"""An estimate of the clock of Redis."""

from __future__ import annotations

import asyncio

__all__ = ["RedisClock"]


class RedisClock:
    """Converts times of the event loop to times of Redis."""

    def __init__(self) -> None:
        self._ahead: float | None = None

    @property
    def known(self) -> bool:
        """Whether the time of Redis is known."""
        return self._ahead is not None

    def note(self, now: int) -> None:
        """Redis has sent its time, in milliseconds since the epoch."""
        if now:
            # Redis read its clock a little earlier, so deadlines are never too late.
            self._ahead = now - 1000 * asyncio.get_running_loop().time()

    def at(self, time: float) -> int | None:
        """A time of the event loop, in seconds, as a time of Redis, in milliseconds."""
        return None if self._ahead is None else int(1000 * time + self._ahead)

"""An estimate of the clock of Redis."""

from __future__ import annotations

import asyncio

__all__ = ["RedisClock"]


class RedisClock:
    """Turns times of the event loop into times of Redis."""

    def __init__(self) -> None:
        self._ahead: float | None = None

    @property
    def known(self) -> bool:
        """Whether Redis has said its time."""
        return self._ahead is not None

    def note(self, now: int) -> None:
        """Redis has said its time, in milliseconds since the epoch."""
        if now:
            # Redis said it a little earlier, so deadlines are never too late.
            self._ahead = now - 1000 * asyncio.get_running_loop().time()

    def at(self, time: float) -> int | None:
        """A time of the event loop, in seconds, as one of Redis, in milliseconds."""
        return None if self._ahead is None else int(1000 * time + self._ahead)

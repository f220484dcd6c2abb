"""The one thread that may use the queues: that of the event loop.

Rule: what would call a loop's clients from another thread is refused before it changes anything.
"""

from __future__ import annotations

import asyncio
import weakref
from threading import get_ident

__all__ = ["LoopThread"]


class LoopThread:
    """Knows in which thread the loop runs that the clients listen in."""

    def __init__(self) -> None:
        self._thread = get_ident()
        self._loop: weakref.ref[asyncio.AbstractEventLoop] | None = None

    def enter(self, loop: asyncio.AbstractEventLoop) -> None:
        """A client listens in `loop`, which runs. Raises as `check`."""
        if self._loop is None or self._loop() is not loop:
            self.check("poll")
            self._thread = get_ident()
            self._loop = weakref.ref(loop)

    def check(self, method: str) -> None:
        """Raises `RuntimeError` if this is another thread than that of a loop that runs."""
        if get_ident() == self._thread:
            return
        loop = None if self._loop is None else self._loop()
        if loop is not None and loop.is_running():
            raise RuntimeError(
                f"{method}() was called in another thread than that of the event loop: "
                f"use loop.call_soon_threadsafe(mq.{method}, ...)"
            )

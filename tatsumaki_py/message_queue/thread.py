"""The one thread that may use the queues: that of the event loop.

Rules:
1. A call from another thread that would call callbacks of the loop is refused before it changes
   anything.
2. The loop is the first one that used a queue, until it ends, also before a client listens.
"""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import Callable
from threading import get_ident

__all__ = ["LoopThread"]


class LoopThread:
    """Knows the thread of the event loop that the clients listen in."""

    def __init__(self) -> None:
        self._thread = get_ident()
        self._loop: weakref.ref[asyncio.AbstractEventLoop] | None = None

    def _other(self) -> asyncio.AbstractEventLoop | None:
        """The loop, if it runs in another thread than this one."""
        loop = None if self._loop is None else self._loop()
        elsewhere = loop is not None and get_ident() != self._thread and loop.is_running()
        return loop if elsewhere else None

    def claim(self) -> bool:
        """Make the loop that runs here, if there is one, the loop of the clients. False if that is
        a loop in another thread, which runs.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        if loop is not None and self._loop is not None and self._loop() is loop:
            return True
        if self._other() is not None:
            return False
        if loop is not None:
            self._thread = get_ident()
            self._loop = weakref.ref(loop)
        return True

    def check(self, method: str, of: str = "mq") -> None:
        """Raise `RuntimeError` if `claim` fails; `method` of the object `of` was called."""
        if not self.claim():
            raise RuntimeError(
                f"{method}() was called in another thread than that of the event loop: "
                f"use loop.call_soon_threadsafe({of}.{method}, ...)"
            )

    def run(self, call: Callable[[], None]) -> None:
        """Make a call that may come from any thread, because Python collects garbage in each. In
        the wrong thread, the call is scheduled in the loop.
        """
        loop = self._other()
        if loop is None:
            call()
            return
        # It may be closed at this moment.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(call)

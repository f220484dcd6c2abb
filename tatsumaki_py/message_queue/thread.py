"""The only thread that may use the queues: the thread of the event loop.

Rules:
1. A call from another thread that would run callbacks of the loop is refused before it changes
   anything, or passed to the loop (`send`).
2. The loop of the queues is the first loop in which a queue was used, even before a client listens.
   It remains the loop of the queues until it ends.
3. A process that is forked while the loop runs has no clients. It cannot publish until its own loop
   uses a queue.
4. While no loop runs, only the main thread and the thread of the last loop may publish, because
   another thread might still be publishing when a loop begins.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import weakref
from collections.abc import Awaitable, Callable
from threading import BoundedSemaphore, get_ident, main_thread

from tatsumaki_py.message_queue.published import ENDED, SLICE, Crossing

__all__ = ["MAX_CROSSING", "LoopThread"]

MAX_CROSSING = 100
"""How many calls of other threads may wait for the loop; one more blocks its thread."""


class LoopThread:
    """Keeps track of the event loop's thread, in which the clients listen."""

    def __init__(self) -> None:
        self._thread = get_ident()
        self._process = os.getpid()
        self._loop: weakref.ref[asyncio.AbstractEventLoop] | None = None
        self._room = BoundedSemaphore(MAX_CROSSING)

    def _other(self) -> asyncio.AbstractEventLoop | None:
        """The loop, if it runs in another thread."""
        loop = None if self._loop is None else self._loop()
        elsewhere = loop is not None and get_ident() != self._thread and loop.is_running()
        return loop if elsewhere else None

    def _forked(self) -> bool:
        """Whether this process is a fork of the process in which the loop runs."""
        loop = None if self._loop is None else self._loop()
        return loop is not None and os.getpid() != self._process and loop.is_running()

    def claim(self) -> bool:
        """Make the loop of this thread, if one is running, the loop of the queues. Returns False if
        the loop of the queues already runs in another thread. Raises `RuntimeError` without a
        running loop in a fork of the process in which the loop of the queues runs.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        if loop is not None and self._loop is not None and self._loop() is loop:
            return True
        if self._forked():
            if loop is None:
                raise RuntimeError(
                    "the event loop runs in the process that this one was forked from: publish "
                    "there, or with a tatsumaki_py.publisher.Publisher"
                )
        elif self._other() is not None:
            return False
        if loop is not None:
            self._thread, self._process = get_ident(), os.getpid()
            self._loop = weakref.ref(loop)
        return True

    def check(self, method: str, of: str = "mq") -> None:
        """Raise `RuntimeError` if `claim` fails; `method` of the object `of` was called."""
        loop = asyncio._get_running_loop()
        if loop is not None and self._loop is not None and self._loop() is loop:
            # `claim` would give the same result.
            return
        if not self.claim():
            raise RuntimeError(
                f"{method}() was called outside of the event loop's thread: "
                f"use loop.call_soon_threadsafe({of}.{method}, ...)"
            )

    def is_here(self, method: str) -> bool:
        """Whether `method`, which publishes, may run in this thread; otherwise use `send`. Raises
        `RuntimeError` if this is another thread and no loop runs.
        """
        if not self.claim():
            return False
        thread = get_ident()
        if thread != self._thread and thread != main_thread().ident:
            raise RuntimeError(
                f"{method}() was called in another thread, and no event loop that owns the queues "
                "is running: start the thread in a function given to app.on_start, or after a "
                "coroutine has published or polled"
            )
        return True

    def send(self, publish: Callable[[], Awaitable[list[str]]]) -> Crossing:
        """Let the loop, which runs in another thread, call `publish`. Blocks while too many such
        calls wait.
        """
        loop = self._other()
        while loop is not None and not self._room.acquire(timeout=SLICE):
            loop = self._other()
        if loop is None:
            raise RuntimeError(ENDED)
        return Crossing(publish, loop, self._room.release)

    def run(self, call: Callable[[], None]) -> None:
        """Make a call that may come from any thread, because any thread may collect garbage.
        Outside of the loop's thread, the call is scheduled in the loop.
        """
        loop = self._other()
        if loop is None:
            call()
            return
        # The loop may be closing.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(call)

"""One timer, which belongs to the loop that is running when it is set.

Rule: an `Alarm` is not bound to one loop, because each test and each thread may have its own loop.
"""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import Callable
from contextvars import Context

__all__ = ["Alarm", "now"]


def now() -> float:
    """The time in seconds, by the clock of the running loop; without one, by the default clock of
    loops.
    """
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:
        return time.monotonic()


class Alarm:
    """Makes a call at the earliest time that was set since the last call."""

    __slots__ = ("_loop", "_timer")

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None
        self._loop: weakref.ref[asyncio.AbstractEventLoop] | None = None

    @property
    def when(self) -> float | None:
        """The time at which the next call is due; None if no call is due."""
        return None if self._timer is None else self._timer.when()

    def due_by(self, when: float) -> bool:
        """Whether a call is due at `when` or earlier, in a loop that is not closed."""
        if self._timer is None or self._timer.when() > when:
            return False
        loop = None if self._loop is None else self._loop()
        return loop is not None and not loop.is_closed()

    def due_here(self, by: float = float("inf")) -> bool:
        """Whether a call is due at `by` or earlier, in the running loop."""
        timer = self._timer
        if timer is None or timer.when() > by or self._loop is None:
            return False
        return self._loop() is asyncio._get_running_loop()

    def set(self, when: float | None, call: Callable[[], None]) -> None:
        """Make `call` at `when`, if a loop is running. None means never."""
        if when is None:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            # The next use of the queue in a loop sets the timer.
            return
        if self._timer is not None:
            same_loop = self._loop is not None and self._loop() is loop
            if same_loop and self._timer.when() <= when:
                return
            self._timer.cancel()
        # Outside of the current request's context.
        self._timer = loop.call_at(when, self._ring, call, context=Context())
        self._loop = weakref.ref(loop)

    def _ring(self, call: Callable[[], None]) -> None:
        self._timer = None
        call()

    def cancel(self) -> None:
        """Cancel the call."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

"""A clock that a test advances: timers of an event loop run without waiting."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from functools import partial
from types import TracebackType
from typing import Any, Self

from tornado.ioloop import IOLoop
from tornado.platform.asyncio import BaseAsyncIOLoop

__all__ = ["Clock"]

SETTLE = 20
"""The number of iterations of the loop for the work that a timer causes."""


class Clock:
    """Replaces the clock of an event loop with real time plus the seconds that a test adds.

    >>> async def main():
    ...     with Clock() as clock:
    ...         task = asyncio.ensure_future(asyncio.sleep(3600, "an hour later"))
    ...         await clock.advance(3600)
    ...         return task.result()
    >>> asyncio.run(main())
    'an hour later'

    The clock affects only timers of the loop: ``call_later``, ``sleep``, timeouts, Tornado's
    ``add_timeout`` and `tornado.ioloop.PeriodicCallback`, and everything in this package. It does
    not affect `time.time()`, `time.monotonic()`, threads and other processes, so the clocks of
    Redis and of the SQLite engine stay real.

    Args:
        loop: an asyncio loop or a `tornado.ioloop.IOLoop`; by default, the loop that is running at
            the first `advance` or at ``with Clock()``. With an ``IOLoop``, the timeouts of its
            ``run_sync``, with which ``gen_test`` and pytest-tornado run a test, stay in real time.
            Without an ``IOLoop``, give ``gen_test`` a timeout longer than the time that the test
            advances.

    Raises:
        RuntimeError: the loop is not asyncio's own. The clock of uvloop cannot be replaced.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop | IOLoop | None = None) -> None:
        self._offset = 0.0
        self._loop: asyncio.BaseEventLoop | None = None
        self._real: Callable[[], float] | None = None
        self._restore: list[Callable[[], None]] = []
        if loop is not None:
            self._replace(loop)

    def time(self) -> float:
        """The loop's time in seconds."""
        if self._real is None:
            return asyncio.get_running_loop().time()
        return self._real() + self._offset

    async def advance(self, seconds: float) -> None:
        """Advance the clock by `seconds`, and run the timers that have become due.

        The clock moves in one step, so a timer that sets itself again, such as a heartbeat, runs
        only once. Other tasks get 20 iterations of the loop before the step, in which they may set
        timers, and 20 after it. If data crosses a socket, the test must wait for it after that.
        """
        if not 0 <= seconds < math.inf:
            raise ValueError(f"a clock only goes forward, not by {seconds!r} seconds")
        self._bind()
        await _settle()
        self._offset += seconds
        await _settle()

    def restore(self) -> None:
        """Restore the loop's own clock. A timer that was set after an `advance` will be late by the
        seconds that the clock had been advanced. The next `advance` or ``with`` begins again, with
        the loop that is running at that time.
        """
        while self._restore:
            self._restore.pop()()
        self._loop, self._offset = None, 0.0

    def __enter__(self) -> Self:
        if asyncio._get_running_loop() is not None:
            self._bind()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.restore()

    def _bind(self) -> None:
        running = asyncio.get_running_loop()
        if self._loop is None:
            self._replace(running)
        elif self._loop is not running:
            raise RuntimeError("this Clock does not belong to the running event loop")

    def _replace(self, loop: asyncio.AbstractEventLoop | IOLoop) -> None:
        own = loop.asyncio_loop if isinstance(loop, BaseAsyncIOLoop) else loop
        if not isinstance(own, asyncio.BaseEventLoop):
            raise RuntimeError(
                f"the clock of {type(own).__module__}.{type(own).__name__} cannot be replaced: "
                "run this test on an event loop of asyncio"
            )
        if isinstance(loop, IOLoop):
            self._set(loop, "run_sync", partial(_run_sync, loop.run_sync))
        self._loop = own
        self._real = own.time
        self._set(own, "time", self.time)

    def _set(self, loop: object, name: str, value: object) -> None:
        own = vars(loop)
        if name in own:
            self._restore.append(partial(own.__setitem__, name, own[name]))
        else:
            self._restore.append(partial(own.__delitem__, name))
        own[name] = value


async def _settle() -> None:
    for _ in range(SETTLE):
        await asyncio.sleep(0)


def _run_sync(
    run_sync: Callable[..., Any], func: Callable[[], Any], timeout: float | None = None
) -> Any:
    # The timeout of `run_sync` is a timer of the same loop: an advanced clock would end the test.
    return run_sync(lambda: _in_real_time(func(), timeout))


async def _in_real_time(result: Awaitable[Any] | Any, timeout: float | None) -> Any:
    if result is None:
        return None
    end = None if timeout is None else time.monotonic() + timeout
    task = asyncio.ensure_future(result)
    while not task.done():
        left = None if end is None else end - time.monotonic()
        if left is not None and left <= 0:
            task.cancel()
            await asyncio.wait([task], timeout=1)
            late = TimeoutError(f"the test did not end within {timeout} s of real time")
            if not task.cancelled():
                raise late
            try:
                task.result()
            except asyncio.CancelledError as where:
                # The traceback of `where` ends at the line that was waiting.
                raise late from where
        await asyncio.wait([task], timeout=left)
    return task.result()

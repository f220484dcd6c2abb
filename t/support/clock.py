"""Time as a fixture: the loop's clock can be moved, so nobody sleeps through a 55 s time-out."""

import asyncio
import time

import pytest


def pytest_sessionstart():
    """Says that there is no loop but the tests' own.

    Otherwise Tornado's `make_current`, which pytest-tornado calls, asks asyncio for the loop
    before, and asyncio makes one up: with a DeprecationWarning from Python 3.12 on.
    """
    asyncio.set_event_loop(None)


class Clock:
    """Replaces `time()` of a loop by real time plus an offset that only grows.

    `time.time()` and `time.monotonic()` stay real.
    """

    # Enough for a timer that wakes a task which wakes another; more than a few are used by none.
    _SETTLE = 20

    def __init__(self, loop):
        self._real = loop.time
        self._offset = 0.0
        loop.time = self.time

    def time(self):
        """The loop's time in seconds."""
        return self._real() + self._offset

    async def advance(self, seconds):
        """Moves the clock and lets the timers run that are due then.

        To be awaited in a coroutine of the loop: its next iteration asks the clock again, where a
        loop that waits in `select` would not. It is one leap: a timer that sets itself again runs
        once, however far the leap goes. What crosses a socket has to be awaited beyond that.
        """
        self._offset += seconds
        for _ in range(self._SETTLE):
            await asyncio.sleep(0)


@pytest.fixture
def clock(io_loop):
    """The `Clock` of the test's loop: `await clock.advance(30)`."""
    clock = Clock(io_loop.asyncio_loop)
    run_sync = io_loop.run_sync

    def run_sync_in_real_time(func, timeout=None):
        # pytest-tornado's time-out is a timer of the same loop: a moved clock would end the test.
        return run_sync(lambda: _within(func(), timeout))

    io_loop.run_sync = run_sync_in_real_time
    return clock


async def _within(awaitable, timeout):
    end = None if timeout is None else time.monotonic() + timeout
    task = asyncio.ensure_future(awaitable)
    while not task.done():
        left = None if end is None else end - time.monotonic()
        if left is not None and left <= 0:
            task.cancel()
            await asyncio.wait([task], timeout=1)
            raise TimeoutError(f"no end after {timeout} s of real time")
        await asyncio.wait([task], timeout=left)
    return task.result()

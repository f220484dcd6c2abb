"""Waits in real time, even while a test advances the loop's clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from inspect import isawaitable
from typing import TypeVar

__all__ = ["patience", "until", "within"]

_Result = TypeVar("_Result")

PAUSE = 0.005


def patience(seconds: float) -> float:
    """`seconds`, or four fifths of the time that Tornado gives to a test if that is less: when its
    time is over, Tornado ends the test without saying what the test was waiting for.
    """
    # Import this only when it is needed, because it imports unittest.
    from tornado.testing import get_async_test_timeout

    return min(seconds, 0.8 * get_async_test_timeout())


async def until(condition: Callable[[], _Result], timeout: float | None = None) -> _Result:
    """Wait until `condition()` is true, and return its result.

    Args:
        condition: a function without arguments, called every 5 milliseconds.
        timeout: seconds of real time; after that, an `AssertionError` is raised. By default 5, or
            four fifths of Tornado's ``ASYNC_TEST_TIMEOUT`` (5) if that is less.

    Raises:
        TypeError: the condition is an async function, whose coroutine would always be true.
    """
    timeout = patience(5.0) if timeout is None else timeout
    end = time.monotonic() + timeout
    while True:
        result = condition()
        if isawaitable(result):
            if isinstance(result, Coroutine):
                result.close()
            raise TypeError(
                "the condition of `until` is async: give a plain function, and await in the test"
            )
        if result:
            return result
        if time.monotonic() > end:
            raise AssertionError(f"{_described(condition)} was not true within {timeout:g} s")
        await asyncio.sleep(PAUSE)


def _described(condition: Callable[[], object]) -> str:
    code = getattr(condition, "__code__", None)
    if code is None:
        return repr(condition)
    return f"the condition at {code.co_filename}:{code.co_firstlineno}"


@asynccontextmanager
async def within(seconds: float, late: Callable[[], BaseException]) -> AsyncIterator[None]:
    """Raise `late()` if the block takes more than `seconds` of real time."""
    loop = asyncio.get_running_loop()
    end = time.monotonic() + seconds
    timer: asyncio.TimerHandle
    try:
        async with asyncio.timeout(None) as scope:

            def check() -> None:
                nonlocal timer
                left = end - time.monotonic()
                if left > 0:
                    # The timer is early, because a test advanced the loop's clock.
                    timer = loop.call_later(left, check)
                else:
                    scope.reschedule(loop.time())

            timer = loop.call_later(seconds, check)
            try:
                yield
            finally:
                timer.cancel()
    except TimeoutError:
        if not scope.expired():
            raise
        raise late() from None

"""The result of `MessageQueue.publish`, in the thread of the loop and in another thread.

Rules:
1. The events of another thread reach the loop in the order of that thread's calls.
2. Each `Crossing` gets one answer: the ids, or an error. The end of the loop is an error.
3. An error is logged if no code has waited for it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Generator
from concurrent import futures
from typing import Any, Protocol

from tatsumaki_py.done import Done
from tatsumaki_py.error import HTTPError

__all__ = ["ENDED", "SLICE", "Crossing", "InLoop", "Published"]

SLICE = 0.2
"""Seconds after which a waiting thread checks whether the loop still runs."""
ENDED = "the event loop of the queues has ended without an answer: the events may be lost"

_log = logging.getLogger("tatsumaki")


class Published(Awaitable[list[str]], Protocol):
    """The ids of the events, available when the events are accepted. Waiting is optional.

    In a coroutine, await this object; the loop may be that of the queues or another one. In a
    thread without a loop, call `result`.
    """

    def result(self, timeout: float | None = None) -> list[str]:
        """Wait in a thread other than the loop's, and return the ids.

        Args:
            timeout: seconds to wait; None for no limit.

        Raises:
            TimeoutError: the time has passed. The events may still be accepted.
            RuntimeError: the loop ended before it accepted the events; or there is no answer yet
                and this is the thread of the loop, where the result must be awaited.
            Error.HTTP: the same as from `MessageQueue.publish`.
        """


class InLoop:
    """The answer of an external engine, in the thread of the loop."""

    __slots__ = ("_ids",)

    def __init__(self, ids: Awaitable[list[str]]) -> None:
        self._ids = ids

    def __await__(self) -> Generator[Any, None, list[str]]:
        return self._ids.__await__()

    def result(self, timeout: float | None = None) -> list[str]:
        """See `Published.result`."""
        ids = self._ids
        if isinstance(ids, asyncio.Future) and ids.done():
            return list(ids.result())
        raise _await_it()


class Crossing:
    """The answer for another thread.

    Args:
        publish: publishes the events, in the loop.
        loop: the running loop of the queues.
        answered: called in any thread when there is an answer.
    """

    def __init__(
        self,
        publish: Callable[[], Awaitable[list[str]]],
        loop: asyncio.AbstractEventLoop,
        answered: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._waited = False
        self._ids: futures.Future[list[str]] = futures.Future()
        self._ids.add_done_callback(lambda _: answered())
        try:
            loop.call_soon_threadsafe(_Call(publish, self._ids))
        except RuntimeError:
            self._waited = True
            raise RuntimeError(ENDED) from None

    def result(self, timeout: float | None = None) -> list[str]:
        """See `Published.result`."""
        if asyncio._get_running_loop() is self._loop and not self._ids.done():
            raise _await_it()
        until = None if timeout is None else time.monotonic() + timeout
        while not self._ids.done():
            left = SLICE if until is None else min(SLICE, until - time.monotonic())
            if left <= 0:
                raise TimeoutError(f"the events were not accepted within {timeout} s")
            futures.wait([self._ids], left)
            self._check_loop()
        self._waited = True
        return _ids(self._ids)

    def __await__(self) -> Generator[Any, None, list[str]]:
        return self._wait().__await__()

    async def _wait(self) -> list[str]:
        ids = asyncio.wrap_future(self._ids)
        while not ids.done():
            await asyncio.wait([ids], timeout=SLICE)
            self._check_loop()
        self._waited = True
        return _ids(ids)

    def _check_loop(self) -> None:
        stopped = not self._loop.is_running()
        if stopped and (self._ids.cancel() or not self._ids.done()):
            self._waited = True
            raise RuntimeError(ENDED)

    def __del__(self) -> None:
        if not self._waited:
            self._ids.add_done_callback(_log_failure)


class _Call:
    """Publishes in the loop. A closed loop drops this object without calling it."""

    def __init__(
        self, publish: Callable[[], Awaitable[list[str]]], ids: futures.Future[list[str]]
    ) -> None:
        self._publish = publish
        self._ids = ids

    def __call__(self) -> None:
        if not self._ids.set_running_or_notify_cancel():
            return
        try:
            answer = self._publish()
        except Exception as error:
            self._ids.set_exception(error)
            return
        if isinstance(answer, Done):
            self._ids.set_result(answer.result())
        else:
            asyncio.ensure_future(answer).add_done_callback(self._answered)

    def _answered(self, answer: asyncio.Future[list[str]]) -> None:
        if answer.cancelled():
            self._ids.set_exception(RuntimeError(ENDED))
        elif error := answer.exception():
            self._ids.set_exception(error)
        else:
            self._ids.set_result(answer.result())

    def __del__(self) -> None:
        if not self._ids.cancel() and not self._ids.done():
            self._ids.set_exception(RuntimeError(ENDED))


def _ids(answer: futures.Future[list[str]] | asyncio.Future[list[str]]) -> list[str]:
    """The result of an answer that has arrived."""
    if answer.cancelled():
        raise RuntimeError(ENDED)
    return answer.result()


def _await_it() -> RuntimeError:
    return RuntimeError("the event loop cannot wait for itself: use await mq.publish(...)")


def _log_failure(answer: futures.Future[list[str]]) -> None:
    """Log an error that no code waits for."""
    error = RuntimeError(ENDED) if answer.cancelled() else answer.exception()
    if error is None:
        return
    expected = answer.cancelled() or isinstance(error, HTTPError)
    _log.error(
        "events that another thread published were lost: %s",
        error,
        exc_info=None if expected else error,
    )

"""Awaitables that are already done. A method returns one instead of a coroutine or future if it has
nothing to wait for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any, Generic, TypeVar

from tatsumaki_py.error import ClientDisconnect

__all__ = ["DONE", "OVER", "Done", "done_future"]

T = TypeVar("T")


class Done(Generic[T]):
    """An awaitable that is already done, with `result`.

    >>> async def publish():
    ...     return await Done(["1-0"])
    >>> asyncio.run(publish())
    ['1-0']
    """

    __slots__ = ("_result",)

    def __init__(self, result: T) -> None:
        self._result = result

    def done(self) -> bool:
        return True

    def result(self, timeout: float | None = None) -> T:
        return self._result

    def __await__(self) -> Generator[Any, None, T]:
        return self._result
        yield


class _Over(Done[None]):
    """The result of a write after the end of the answer. A coroutine that awaits it gets a
    `ClientDisconnect`; a callback that does not await it is not affected.
    """

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, None]:
        raise ClientDisconnect
        yield


DONE = Done(None)
OVER = _Over(None)


def done_future() -> asyncio.Future[None]:
    """A future that is already done, for methods that Tornado documents as returning a future."""
    future = asyncio.get_running_loop().create_future()
    future.set_result(None)
    return future

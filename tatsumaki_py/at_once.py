"""Runs a request's coroutine without a task until it has to wait. Most requests never wait, and a
task costs an iteration of the event loop.

Rules:
1. While the coroutine runs here, there is no current task, even if the caller is a task.
2. A method marked with `runs_at_once` awaits `in_task` before it awaits user code, such as an
   ``async def`` hook, or anything else that may wait, because such code may need a current task.
3. The coroutine has the same context here and in the task, so it may reset a variable that it set.
"""

from __future__ import annotations

import asyncio
import sys
import types
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Future
from contextvars import copy_context
from typing import Any, TypeVar

__all__ = [
    "FINISHED",
    "at_once",
    "in_task",
    "is_rest",
    "may_run_at_once",
    "runs_at_once",
    "runs_here",
]

_Method = TypeVar("_Method", bound=Callable[..., Any])

# A set rather than a mark on the methods, which `functools.wraps` would copy to a user's wrapper.
_marked: set[object] = set()


def runs_at_once(method: _Method) -> _Method:
    """Mark a method of the package that follows rule 2. A user's override is not marked."""
    _marked.add(method)
    return method


def may_run_at_once(method: object) -> bool:
    """Whether `method` is marked."""
    return isinstance(method, types.FunctionType) and method in _marked


class _Finished(Future[None]):
    """Stands in for a finished task. It can be shared, because it has no result and no loop."""

    def __init__(self) -> None:
        super().__init__()
        self.set_result(None)

    def add_done_callback(self, fn: object) -> None:
        """Do nothing: Tornado's callback would only look for an exception."""

    def __await__(self) -> Generator[Any, None, None]:
        return
        yield


FINISHED = _Finished()
"""The result of `at_once` if the coroutine did not have to wait."""


def at_once(coroutine: Coroutine[Any, Any, None]) -> Future[None] | asyncio.Task[None]:
    """Run `coroutine` in a copy of the context. If it has to wait, return a task that continues it;
    otherwise return `FINISHED`.
    """
    context = copy_context()
    if context.run(_ends, coroutine):
        return FINISHED
    # Do this outside of the context, because an eager task enters it immediately.
    return asyncio.get_running_loop().create_task(_rest(coroutine), context=context)


def _ends(coroutine: Coroutine[Any, Any, None]) -> bool:
    """Run the coroutine until it has to wait. Returns whether it has ended without waiting."""
    loop = asyncio.get_running_loop()
    caller: Any = asyncio.current_task(loop)
    if caller is not None:
        asyncio._leave_task(loop, caller)
    try:
        coroutine.send(None)
    except StopIteration:
        return True
    finally:
        if caller is not None:
            asyncio._enter_task(loop, caller)
    return False


async def _rest(coroutine: Coroutine[Any, Any, None]) -> None:
    # An `async def`, so that the log shows a better name than that of a generator.
    await _going_on(coroutine)


@types.coroutine
def _going_on(coroutine: Coroutine[Any, Any, None]) -> Generator[Any, Any, None]:
    # The coroutine has stopped in `in_task`, and `await` cannot continue a started coroutine.
    yield from coroutine.__await__()


def runs_here() -> bool:
    """Whether the caller was called by a coroutine that runs without a task."""
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code is not _ends.__code__:
        frame = frame.f_back
    return frame is not None


def is_rest(coroutine: object) -> bool:
    """Whether `coroutine` belongs to a task that `at_once` returned."""
    return getattr(coroutine, "cr_code", None) is _rest.__code__


@types.coroutine
def in_task() -> Generator[None, None, None]:
    """Continue in a task, if this coroutine runs without one."""
    if asyncio.current_task() is None:
        yield

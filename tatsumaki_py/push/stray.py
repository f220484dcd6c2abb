"""Polls that began in a task that a handler's method started. Such a poll belongs to the request
and ends with it. A task that continues after the request is a mistake in the program, so a
warning is logged.

Uses one name that Tornado does not document: the task of a request runs `_execute`
(``t/handler/test_tornado_contract.py``).
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from typing import Any

import tornado.web

from tatsumaki_py.at_once import is_rest
from tatsumaki_py.message_queue.peer import Watcher

__all__ = ["Strays", "stray_task"]

_log = logging.getLogger("tatsumaki")
_told: weakref.WeakSet[type] = weakref.WeakSet()
"""The handler classes that a warning has already named."""


def stray_task() -> asyncio.Task[Any] | None:
    """The current task, if it is not the task of a request."""
    task = asyncio.current_task()
    if task is None:
        return None
    coroutine = task.get_coro()
    code = getattr(coroutine, "cr_code", None)
    own = code is tornado.web.RequestHandler._execute.__code__ or is_rest(coroutine)
    return None if own else task


class Strays:
    """The polls of one request that began in other tasks."""

    def __init__(self) -> None:
        self._tasks: dict[Watcher, weakref.ref[asyncio.Task[Any]]] = {}

    def add(self, watcher: Watcher, task: asyncio.Task[Any]) -> None:
        """`watcher` began in `task`."""
        self._tasks[watcher] = weakref.ref(task)

    def discard(self, watcher: Watcher) -> None:
        """`watcher` has ended."""
        self._tasks.pop(watcher, None)

    def warn(self, handler: type, request: str) -> None:
        """Log, once for each class, that a poll was still waiting when its request was answered."""
        if handler in _told:
            return
        here = asyncio.current_task()
        tasks = [
            task
            for watcher, reference in self._tasks.items()
            if (task := reference()) is not None
            and not (task is here or task.done() or task.cancelling() or watcher.busy())
        ]
        if tasks:
            # Check later: the method may answer first and cancel its task after that.
            asyncio.get_running_loop().call_soon(_warn, tasks, handler, request)


def _warn(tasks: list[asyncio.Task[Any]], handler: type, request: str) -> None:
    left = [task for task in tasks if not (task.cancelled() or task.cancelling())]
    if not left or handler in _told:
        return
    _told.add(handler)
    _log.warning(
        "A poll ended because its request was answered, but its task continues: %s started %s with "
        "asyncio.create_task. Start work that outlives the request with app.spawn: %s",
        handler.__name__,
        getattr(left[0].get_coro(), "__qualname__", left[0].get_name()),
        request,
    )

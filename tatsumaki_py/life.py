"""The life of an application: what starts with it, what runs beside its requests, what ends it.

Rules:
1. Starts run one after the other, in the order in which they were added. Stops run in reverse
   order, and only of what has started.
2. Whatever runs here runs in an empty context: it belongs to no request.
3. A task is kept alive until it is done. If it fails, that is logged.
4. Nothing delays the end for longer than its limit.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import warnings
from collections.abc import Callable, Coroutine
from contextvars import Context
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

from tornado.ioloop import IOLoop

__all__ = ["Life", "StartError", "current_loop"]

_log = logging.getLogger("tatsumaki")
T = TypeVar("T")

STOP_TIME = 5.0
"""Seconds that each stop, and all tasks together, get to end."""


class StartError(RuntimeError):
    """A part of the application did not start. `__cause__` is the reason."""


class _Phase(Enum):
    NEW = "new"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"


@dataclass(eq=False)
class _Part:
    """What is started and stopped together."""

    name: str
    start: Callable[[], Any] | None
    stop: Callable[[], Any] | None
    owner: object = None
    started: bool = False


class Life:
    """The parts of one application, and its tasks."""

    def __init__(self) -> None:
        self._phase = _Phase.NEW
        self._parts: list[_Part] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._reminded = False

    def add(
        self,
        name: str,
        start: Callable[[], Any] | None,
        stop: Callable[[], Any] | None,
        owner: object = None,
    ) -> None:
        """Add a part. In an application that runs, it starts at once; what its start returns to be
        awaited becomes a task.
        """
        part = _Part(name, start, stop, owner)
        self._parts.append(part)
        if self._phase is not _Phase.RUNNING:
            return
        part.started = True
        result = Context().run(start) if start is not None else None
        if self._waits_for(result):
            self.spawn(_wait_for(result), name)

    def discard(self, owner: object) -> None:
        """Forget the part of that owner, unless it has started."""
        for part in self._parts:
            if part.owner is owner and not part.started:
                self._parts.remove(part)
                break

    def remind(self) -> None:
        """Log, once, that a request came and `start` was never called."""
        if self._phase is _Phase.NEW and self._parts and not self._reminded:
            self._reminded = True
            _log.warning(
                "A request came, but %s was not started: "
                "a program without tatsumaki_py.Server says await app.start()",
                self._parts[0].name,
            )

    async def start(self) -> None:
        """Start all parts. If one fails, those before it are stopped, and `StartError` names it."""
        if self._phase is not _Phase.NEW:
            raise RuntimeError(f"the application cannot start: it is {self._phase.value}")
        loop = asyncio.get_running_loop()
        for task in self._tasks:
            if task.get_loop() is not loop:
                raise RuntimeError(
                    f"{task.get_name()} was spawned for another event loop: "
                    "call app.spawn in app.on_start(...), which runs in this one"
                )
        self._phase = _Phase.STARTING
        # A part may add others.
        for part in self._parts:
            try:
                if part.start is not None:
                    await self._task(part.start)
            except Exception as error:
                await self.stop()
                reason = f"{type(error).__name__}: {error}"
                raise StartError(f"{part.name} did not start: {reason}") from error
            except BaseException:
                await self.stop()
                raise
            part.started = True
        self._phase = _Phase.RUNNING

    async def stop(self) -> None:
        """Cancel the tasks, then stop what has started. The application can be started again."""
        self._phase = _Phase.STOPPING
        await self.cancel_tasks()
        for part in reversed(self._parts):
            if part.started:
                part.started = False
                await self._end(part)
        await self.cancel_tasks()
        self._phase = _Phase.NEW

    async def _end(self, part: _Part) -> None:
        if part.stop is None:
            return
        task = self._task(part.stop)
        # asyncio.timeout would wait for a task that ignores its cancellation.
        _, late = await asyncio.wait([task], timeout=STOP_TIME)
        if late:
            task.cancel()
            _log.error("%s did not stop within %g seconds", part.name, STOP_TIME)
        elif not task.cancelled() and (error := task.exception()) is not None:
            _log.error("%s failed to stop", part.name, exc_info=error)

    def spawn(self, coroutine: Coroutine[Any, Any, T], name: str | None = None) -> asyncio.Task[T]:
        """Run `coroutine` in a task of no request."""
        if not inspect.iscoroutine(coroutine):
            raise TypeError(f"app.spawn takes a coroutine, app.spawn(f()), not {coroutine!r}")
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            if self._phase is not _Phase.NEW:
                coroutine.close()
                raise RuntimeError(
                    "app.spawn was called in another thread than that of the event loop: "
                    "use asyncio.run_coroutine_threadsafe(f(), loop)"
                ) from None
            # The program has not come to its loop yet.
            loop = current_loop()
        task = loop.create_task(coroutine, name=name or coroutine.__qualname__, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("%s failed", task.get_name(), exc_info=error)

    async def cancel_tasks(self) -> None:
        """Cancel the tasks, and wait for them."""
        tasks = self._tasks - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        if not tasks:
            return
        _, left = await asyncio.wait(tasks, timeout=STOP_TIME)
        for task in left:
            _log.error("%s did not end within %g seconds", task.get_name(), STOP_TIME)

    def _task(self, call: Callable[[], Any]) -> asyncio.Task[None]:
        """Make a call in an empty context, and await what it returns to be awaited."""

        async def run() -> None:
            result = call()
            if self._waits_for(result):
                await result

        return asyncio.get_running_loop().create_task(run(), context=Context())

    def _waits_for(self, result: Any) -> bool:
        # A task of `spawn` goes on: app.on_start(lambda: app.spawn(work())).
        return inspect.isawaitable(result) and result not in self._tasks


async def _wait_for(result: Any) -> None:
    await result


def current_loop() -> asyncio.AbstractEventLoop:
    """The loop of `IOLoop.current`, on which a program may schedule callbacks before it serves."""
    with warnings.catch_warnings():
        # Python 3.12 and 3.13 warn that the current loop is made now.
        warnings.simplefilter("ignore", DeprecationWarning)
        loop: asyncio.AbstractEventLoop = IOLoop.current().asyncio_loop  # type: ignore[attr-defined]
        return loop

"""The life of an application: its start, its background work and its stop.

Rules:
1. Starts run one after the other, in the order in which they were added. Stops run in reverse
   order, only for parts that have started.
2. All of this runs in an empty context: it belongs to no request.
3. A task is kept alive until it is done. If it fails, that is logged.
4. Each step of the stop has a time limit, which even a task that ignores its cancellation cannot
   exceed.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import warnings
from collections.abc import Callable, Coroutine, Mapping
from contextvars import Context
from dataclasses import dataclass
from enum import Enum
from types import NoneType
from typing import Any, TypeVar

from tornado.ioloop import IOLoop

__all__ = [
    "Life",
    "StartError",
    "current_loop",
    "end_all_tasks",
    "make_loop_to_reload",
    "wait_for_end",
]

_log = logging.getLogger("tatsumaki")
T = TypeVar("T")

STOP_TIME = 5.0
"""The time limit, in seconds, of each stop, and of the cancellation of all tasks together."""
NAMED = 5
"""The most tasks that the log names if they did not end, and the most names that it shows for each.
"""


class StartError(RuntimeError):
    """A part of the application did not start. ``__cause__`` is the reason."""


class _Phase(Enum):
    NEW = "new"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"


@dataclass(eq=False)
class _Part:
    """A service, or the functions of `on_start` and `on_stop`."""

    name: str
    start: Callable[[], Any] | None
    stop: Callable[[], Any] | None
    owner: object = None
    started: bool = False


class Life:
    """The parts of one application, and its tasks."""

    def __init__(self) -> None:
        self._phase = _Phase.NEW
        self._loop: asyncio.AbstractEventLoop | None = None
        self._starting: _Part | None = None
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
        """Add a part. If the application is running, start the part immediately; if its start
        returns an awaitable, that becomes a task.
        """
        part = _Part(name, start, stop, owner)
        self._parts.append(part)
        if self._phase is not _Phase.RUNNING:
            return
        try:
            result = Context().run(start) if start is not None else None
        except BaseException:
            self._parts.remove(part)
            raise
        if self._waits_for(result):
            self.spawn(self._start_later(part, result), name)
        else:
            part.started = True

    async def _start_later(self, part: _Part, result: Any) -> None:
        await result
        part.started = True

    def discard(self, owner: object) -> None:
        """Remove the part of `owner`, unless it is starting or has started."""
        for part in self._parts:
            if part.owner is owner and not part.started and part is not self._starting:
                self._parts.remove(part)
                break

    def remind(self) -> None:
        """Log once that a request arrived although `start` was never called."""
        if self._phase is _Phase.NEW and self._parts and not self._reminded:
            self._reminded = True
            _log.warning(
                "A request arrived, but %s was not started: "
                "a program without tatsumaki_py.Server must call await app.start()",
                self._parts[0].name,
            )

    async def start(self) -> None:
        """Start all parts. If one fails, stop the parts before it and raise a `StartError` that
        names it.
        """
        if self._phase is not _Phase.NEW:
            raise RuntimeError(f"the application cannot start: it is {self._phase.value}")
        loop = asyncio.get_running_loop()
        for task in self._tasks:
            if task.get_loop() is not loop:
                raise RuntimeError(
                    f"{task.get_name()} was spawned for another event loop: "
                    "call app.spawn in app.on_start(...), which runs in the right loop"
                )
        self._loop = loop
        self._phase = _Phase.STARTING
        try:
            # The list may grow during the loop, because a part may add others.
            for part in self._parts:
                await self._start(part)
        except BaseException:
            ending = asyncio.ensure_future(self._stop())
            while not ending.done():
                # Even if a signal cancels this, stop all parts that have started.
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait([ending])
            raise
        self._phase = _Phase.RUNNING

    async def _start(self, part: _Part) -> None:
        if part.start is not None:
            self._starting = part
            task = self._task(self._call(part.start))
            try:
                # `await task` would wait for a task that ignores its cancellation.
                await asyncio.wait([task])
            except asyncio.CancelledError:
                task.cancel()
                await wait_for_end(task, part.name, "end", STOP_TIME)
                part.started = task.done() and not task.cancelled() and task.exception() is None
                raise
            finally:
                self._starting = None
            if task.cancelled():
                raise StartError(f"{part.name} did not start: it was cancelled")
            error = task.exception()
            if isinstance(error, Exception):
                raise StartError(f"{part.name} did not start: {_why(error)}") from error
            if error is not None:
                raise error
        part.started = True

    async def stop(self) -> None:
        """Cancel the tasks and stop the parts that have started. The application can be started
        again."""
        if self._phase in (_Phase.STARTING, _Phase.STOPPING):
            raise RuntimeError(f"the application cannot stop: it is {self._phase.value}")
        await self._stop()

    async def _stop(self) -> None:
        self._phase = _Phase.STOPPING
        try:
            await self.cancel_tasks()
            for part in reversed(self._parts):
                if part.started:
                    part.started = False
                    if part.stop is not None:
                        task = self._task(self._last_call(part.stop))
                        await wait_for_end(task, part.name, "stop", STOP_TIME)
            await self.cancel_tasks()
        finally:
            self._phase, self._loop = _Phase.NEW, None

    def spawn(self, coroutine: Coroutine[Any, Any, T], name: str | None = None) -> asyncio.Task[T]:
        """Run `coroutine` in a task that belongs to no request."""
        if not inspect.iscoroutine(coroutine):
            raise TypeError(f"app.spawn takes a coroutine, app.spawn(f()), not {coroutine!r}")
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        if self._phase is not _Phase.NEW and loop is not self._loop:
            coroutine.close()
            raise RuntimeError(
                "app.spawn was called outside of the event loop's thread: "
                "use asyncio.run_coroutine_threadsafe(f(), loop)"
            )
        if loop is None:
            # The program has not started its loop yet.
            loop = current_loop()
        task = loop.create_task(coroutine, name=name or coroutine.__qualname__, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            if not task.cancelling():
                _log.error("%s failed: what it awaited was cancelled", task.get_name())
        elif (error := task.exception()) is not None:
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
            self._tasks.discard(task)
            _leave(task)

    def _task(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(coroutine, context=Context())

    async def _call(self, call: Callable[[], Any]) -> None:
        """Call `call`. If it returns an awaitable, await that."""
        result = call()
        if self._waits_for(result):
            await result

    async def _last_call(self, call: Callable[[], Any]) -> None:
        try:
            await self._call(call)
        except (SystemExit, KeyboardInterrupt) as error:
            # These exceptions would end the loop before the other parts are stopped.
            raise RuntimeError(f"a stop cannot end the program: {error!r}") from error

    def _waits_for(self, result: Any) -> bool:
        # Do not wait for a task of `spawn`, as in app.on_start(lambda: app.spawn(work())).
        return inspect.isawaitable(result) and result not in self._tasks


async def wait_for_end(task: asyncio.Future[Any], name: str, verb: str, seconds: float) -> None:
    """Wait up to `seconds` for a task; after that, log and cancel it. If it fails, log it."""
    # `asyncio.timeout` would wait for a task that ignores its cancellation.
    _, late = await asyncio.wait([task], timeout=seconds)
    if late:
        _log.error("%s did not %s within %g seconds", name, verb, seconds)
        task.cancel()
        _leave(task)
    elif not task.cancelled():
        error = task.exception()
        # asyncio itself raises SystemExit and KeyboardInterrupt out of the loop.
        if not isinstance(error, (NoneType, SystemExit, KeyboardInterrupt)):
            _log.error("%s failed to %s", name, verb, exc_info=error)


async def end_all_tasks() -> None:
    """Cancel all other tasks of the running loop, and wait up to `STOP_TIME` for them."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if not tasks:
        return
    _, left = await asyncio.wait(tasks, timeout=STOP_TIME)
    if left:
        names = sorted(set(map(_work, left)))
        more = f" and {len(names) - NAMED} others" if len(names) > NAMED else ""
        _log.error(
            "%d tasks ignored their cancellation for %g seconds: %s%s",
            len(left),
            STOP_TIME,
            ", ".join(names[:NAMED]),
            more,
        )
    for task in left:
        _leave(task)


def _work(task: asyncio.Task[Any]) -> str:
    """The names of a task's coroutine and of the coroutines that it awaits."""
    coroutine: Any = task.get_coro()
    names: list[str] = []
    while hasattr(coroutine, "cr_await") and len(names) < NAMED:
        names.append(coroutine.__qualname__)
        coroutine = coroutine.cr_await
    return " > ".join(names) or task.get_name()


def _leave(task: asyncio.Future[Any]) -> None:
    """Let the loop end without this task, for which `asyncio.Runner` would wait forever. (asyncio
    documents `_unregister_task` for other implementations of event loops and tasks.)
    """
    if isinstance(task, asyncio.Task):
        asyncio._unregister_task(task)


def _why(error: BaseException) -> str:
    """The type and message of an error; for a group, of each of its errors."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(map(_why, error.exceptions))
    message = str(error)
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def current_loop() -> asyncio.AbstractEventLoop:
    """The loop of `IOLoop.current`, on which a program may schedule callbacks before it serves."""
    with warnings.catch_warnings():
        # Python 3.12 and 3.13 warn if this call makes the loop.
        warnings.simplefilter("ignore", DeprecationWarning)
        loop: asyncio.AbstractEventLoop = IOLoop.current().asyncio_loop  # type: ignore[attr-defined]
        return loop


def make_loop_to_reload(settings: Mapping[str, Any]) -> None:
    """Make the current loop if these settings turn autoreload on. On Python 3.12 and 3.13,
    Tornado's autoreload would make it with a warning.
    """
    if settings.get("autoreload", settings.get("debug")):
        current_loop()

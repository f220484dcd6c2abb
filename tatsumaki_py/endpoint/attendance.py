"""When a subscriber came and went, for those who are to be told.

Rules:
1. Who came is told before who went, also if both happen at once or the first takes its time.
2. What is raised is reported, and hurts nobody.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar

__all__ = ["Attendance", "Hook"]

Hook = Callable[[str], Awaitable[None] | None]


class Attendance:
    """Calls hooks for a subscriber of some channels.

    Args:
        names: of the channels; each hook is called with each.
        came, left: the hooks.
        failed: is called with what they raise.
    """

    # The loop does not hold them.
    _tasks: ClassVar[set[asyncio.Future[None]]] = set()

    def __init__(
        self,
        names: Sequence[str],
        came: Hook,
        left: Hook,
        failed: Callable[[Exception], object],
    ) -> None:
        self._names = names
        self._came = came
        self._left = left
        self._failed = failed
        self._known = self._gone = False
        self._running: asyncio.Future[None] | None = None

    def begin(self, new: bool) -> None:
        """A poll has begun; `new` is whether the client was no subscriber before."""
        if new:
            self._call(self._came)
        self._known = True
        if self._gone:
            self.end()

    def end(self) -> None:
        """The subscriber is gone, perhaps before `begin`."""
        self._gone = True
        if not self._known:
            return
        if self._running is None or self._running.done():
            self._call(self._left)
        else:
            self._running.add_done_callback(lambda _: self._call(self._left))

    def _call(self, hook: Hook) -> None:
        waiting = []
        for name in self._names:
            try:
                result = hook(name)
            except Exception as error:
                self._failed(error)
            else:
                if inspect.isawaitable(result):
                    waiting.append(result)
        if waiting:
            self._running = task = asyncio.ensure_future(self._wait(waiting))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _wait(self, waiting: Sequence[Awaitable[None]]) -> None:
        for error in await asyncio.gather(*waiting, return_exceptions=True):
            if isinstance(error, Exception):
                self._failed(error)

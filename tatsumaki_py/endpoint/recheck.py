"""Checks from time to time whether connected clients still have permission.

Rules:
1. References to handlers are weak. A handler whose answer is over is neither kept nor checked.
2. At most `AT_ONCE` checks of a loop run at a time. A check that takes `TIMEOUT` seconds has
   failed, and its later result is ignored. Clients that subscribed together are checked at
   different times.
3. A client has at most one check at a time.
4. The state of a client that has left is freed within `LOOK` seconds, even if its next check is far
   away.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import Coroutine
from contextvars import ContextVar, copy_context
from typing import Any, Protocol

from tatsumaki_py.push.lifetime import LOOK
from tatsumaki_py.push.per_loop import per_loop
from tatsumaki_py.push.wheel import Wheel, jittered

__all__ = ["RECHECKS", "TIMEOUT", "Checked", "Recheck"]

FIRST_JITTER, JITTER = 0.5, 0.1
AT_ONCE = 10
TIMEOUT = 30.0

RECHECKS: ContextVar[bool] = ContextVar("tatsumaki_rechecks", default=False)
"""Whether the current check is of a client that was already admitted."""


class Checked(Protocol):
    """A handler, as this module sees it."""

    def _peer_left(self) -> bool:
        """Whether its answer is over."""

    def _check(self, names: list[str]) -> Coroutine[Any, Any, None]:
        """Check the permission of its client. Raises an exception if the client has none."""

    def _check_failed(self, error: BaseException) -> None:
        """`_check` has raised `error`: end the stream or the waiting poll."""


class Recheck:
    """Checks the permission of one client every `seconds`, less a jitter.

    Args:
        names: the channels that the client has subscribed to.
    """

    __slots__ = ("_context", "_due", "_handler", "_names", "_seconds", "_waits")

    def __init__(self, handler: Checked, names: list[str], seconds: float) -> None:
        self._handler = weakref.ref(handler)
        self._names = names
        self._seconds = seconds
        # The context of the request, in which the hooks run.
        self._context = copy_context()
        self._waits = False
        Wheel.current().add(self, self._next(FIRST_JITTER))

    def _next(self, jitter: float) -> float:
        """Set the time of the next check. Returns the seconds until the next turn."""
        delay = jittered(self._seconds, jitter)
        self._due = asyncio.get_running_loop().time() + delay
        return min(delay, LOOK)

    def turn(self) -> float | None:
        """Check, if a check is due."""
        handler = self._handler()
        if handler is None or handler._peer_left():
            return None
        left = self._due - asyncio.get_running_loop().time()
        if left > 0:
            return min(left, LOOK)
        if not self._waits:
            self._waits = True
            _Checks.current().add(self)
        return self._next(JITTER)

    async def check(self) -> None:
        """Check now."""
        try:
            handler = self._handler()
            if handler is not None and not handler._peer_left():
                await self._ask(handler)
        finally:
            self._waits = False

    async def _ask(self, handler: Checked) -> None:
        checking = handler._check(self._names)
        task = asyncio.get_running_loop().create_task(checking, context=self._context)
        # `asyncio.wait_for` would wait for a hook that ignores its cancellation; this does not.
        _, late = await asyncio.wait([task], timeout=TIMEOUT)
        error: BaseException | None
        if late:
            task.cancel()
            task.add_done_callback(_ignore)
            error = TimeoutError(f"can_subscribe did not return within {TIMEOUT:.0f} seconds")
        else:
            # A hook that was cancelled has no result: leave it to the next check.
            error = None if task.cancelled() else task.exception()
        if error is not None:
            self._context.run(handler._check_failed, error)


def _ignore(task: asyncio.Task[None]) -> None:
    """Ignore the result of a check that was already logged as failed."""
    if not task.cancelled():
        task.exception()


class _Checks:
    """The checks of one loop that are due."""

    def __init__(self) -> None:
        self._due: deque[Recheck] = deque()
        # Keep a reference: an event loop has only weak references to its tasks.
        self._workers: set[asyncio.Task[None]] = set()

    @classmethod
    def current(cls) -> _Checks:
        """The checks of the running loop."""
        return per_loop(cls)

    def add(self, recheck: Recheck) -> None:
        """Append `recheck`."""
        self._due.append(recheck)
        if len(self._workers) < AT_ONCE:
            worker = asyncio.get_running_loop().create_task(self._work())
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)

    async def _work(self) -> None:
        while self._due:
            await self._due.popleft().check()

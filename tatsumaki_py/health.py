"""Whether the server of an event loop should receive more requests."""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Callable
from typing import ClassVar

__all__ = ["Health"]

_log = logging.getLogger("tatsumaki")


class Health:
    """The health of the server of one event loop."""

    _of_loops: ClassVar[weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Health]] = (
        weakref.WeakKeyDictionary()
    )

    def __init__(self) -> None:
        self.draining = False
        """Whether the server is about to stop."""
        self.checks: list[Callable[[], str | None]] = []
        """Functions without arguments that return None, or, in one line, the reason why the server
        should receive no more requests. A health check calls them in order, until one returns a
        reason, so they must be fast. An exception is logged and counts as a reason.
        """

    @classmethod
    def current(cls) -> Health:
        """The health of the running loop."""
        loop = asyncio.get_running_loop()
        health = cls._of_loops.get(loop)
        if health is None:
            health = cls._of_loops[loop] = cls()
        return health

    def reason(self) -> str | None:
        """The reason why the server should receive no more requests; None if there is none."""
        if self.draining:
            return "draining"
        return next(filter(None, map(_checked, self.checks)), None)


def _checked(check: Callable[[], str | None]) -> str | None:
    try:
        return check()
    except Exception:
        _log.exception("a check of the server's health raised an exception")
        return "a check failed"

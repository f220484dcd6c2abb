"""Whether the server of an event loop should get more requests."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from typing import ClassVar

__all__ = ["Health"]


class Health:
    """One for each event loop."""

    _of_loops: ClassVar[weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Health]] = (
        weakref.WeakKeyDictionary()
    )

    def __init__(self) -> None:
        self.draining = False
        """Whether the server is about to stop."""
        self.checks: list[Callable[[], str | None]] = []
        """Each returns why the server is not healthy, or None."""

    @classmethod
    def current(cls) -> Health:
        """That of the running loop."""
        loop = asyncio.get_running_loop()
        health = cls._of_loops.get(loop)
        if health is None:
            health = cls._of_loops[loop] = cls()
        return health

    def reason(self) -> str | None:
        """Why the server should get no more requests; None if it is well."""
        if self.draining:
            return "draining"
        return next((reason for check in self.checks if (reason := check()) is not None), None)

"""One timer for all connections that wait for a request."""

from __future__ import annotations

import asyncio
import math
from typing import Protocol

__all__ = ["Idle"]


class _Expiring(Protocol):
    """A connection, as this file sees it."""

    def close(self) -> None:
        """Close the connection."""


class Idle:
    """The connections of a server that wait for a request. Each is closed after `seconds`.

    All connections wait equally long, so the one that came first is closed first.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._since: dict[_Expiring, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, connection: _Expiring) -> None:
        """`connection` begins to wait."""
        loop = asyncio.get_running_loop()
        self._since[connection] = loop.time()
        if self._timer is None:
            self._timer = loop.call_later(self._seconds, self._look)

    def discard(self, connection: _Expiring) -> None:
        """`connection` no longer waits."""
        self._since.pop(connection, None)

    def clear(self) -> None:
        """All connections have been closed."""
        self._since.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self._first() <= now - self._seconds:
            for connection, since in list(self._since.items()):
                if since > now - self._seconds:
                    break
                self.discard(connection)
                connection.close()
        if self._since:
            self._timer = loop.call_at(self._first() + self._seconds, self._look)

    def _first(self) -> float:
        return next(iter(self._since.values()), math.inf)

"""The servers of one event loop, which share its queues and streams.

Rules:
1. Publishing ends, and the engine is closed, only when all servers of the loop stop.
2. Servers that stop together finish all their requests before one of them ends streams: the events
   of a request reach the streams of all servers.
"""

from __future__ import annotations

import asyncio

from tatsumaki_py.push.per_loop import per_loop

__all__ = ["Servers"]

LOOK = 0.01
"""Seconds between two checks of the other servers."""


class Servers:
    """The servers of the running loop, each as an object that represents it."""

    def __init__(self) -> None:
        self._serving: set[object] = set()
        self._finishing: set[object] = set()
        self._stopping: set[object] = set()

    @classmethod
    def current(cls) -> Servers:
        """The servers of the running loop."""
        return per_loop(cls)

    @property
    def go_on(self) -> bool:
        """Whether at least one server is not stopping."""
        return bool(self._serving)

    def add(self, server: object) -> None:
        """Add `server`, which begins to serve."""
        self._serving.add(server)

    def stop(self, server: object) -> None:
        """`server` begins to stop, and still has requests to finish."""
        self._serving.discard(server)
        self._finishing.add(server)
        self._stopping.add(server)

    async def finished(self, server: object) -> None:
        """`server` has finished its requests: wait until the other stopping servers have, too."""
        self._finishing.discard(server)
        while self._finishing:
            await asyncio.sleep(LOOK)

    def is_last(self, server: object) -> bool:
        """Whether there is no other server, not even a stopping one."""
        return not self._serving and self._stopping <= {server}

    def remove(self, server: object) -> None:
        """`server` has stopped."""
        for servers in (self._serving, self._finishing, self._stopping):
            servers.discard(server)

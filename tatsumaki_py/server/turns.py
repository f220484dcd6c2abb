"""Spread connections evenly over processes that accept from the same sockets.

Rules:
1. A process with clearly more connections than the one with the fewest (`SLACK`, `SHARE`) waits for
   `PAUSE` seconds before it accepts more, to let the others go first. After that, it accepts the
   connections that are still waiting: a process whose event loop is blocked delays a connection by
   at most `PAUSE` seconds.
2. A process writes only its own slot of the shared memory.

Without this, Linux gives most connections to the same process (``bench/processes.py``).
"""

from __future__ import annotations

import asyncio
import mmap
import socket
from collections.abc import Callable
from typing import Any

from tornado.ioloop import IOLoop

__all__ = ["TurnSocket", "Turns"]

SLACK = 4
"""A process may accept a connection while it has at most this many more connections than the
process with the fewest.
"""
SHARE = 32
"""This tolerance grows by one for every `SHARE` connections of the process."""
PAUSE = 0.01
AWAY = 1 << 62
"""The value for a process that is not listening."""


class Turns:
    """How many connections each of `count` processes has. Must be made before the fork."""

    def __init__(self, count: int) -> None:
        self._loads = memoryview(mmap.mmap(-1, 8 * count)).cast("q")
        for number in range(1, count + 1):
            self.leave(number)

    def leave(self, number: int) -> None:
        """Process `number`, counted from 1, does not accept connections."""
        self._loads[number - 1] = AWAY

    def is_mine(self, number: int, load: int) -> bool:
        """Whether process `number`, which has `load` connections, should accept one."""
        self._loads[number - 1] = load
        return load <= min(self._loads) + SLACK + load // SHARE

    def socket(self, sock: socket.socket, number: int, load: Callable[[], int]) -> TurnSocket:
        """`sock` as a `TurnSocket` of process `number`; `load` counts its connections."""
        turn = TurnSocket(fileno=sock.detach())
        turn.setblocking(False)
        turn.is_mine = lambda: self.is_mine(number, load())
        return turn


class TurnSocket(socket.socket):
    """A listening socket for Tornado's accept handler."""

    is_mine: Callable[[], bool]
    """Whether this process should accept one."""
    _waited = False

    def accept(self) -> tuple[socket.socket, Any]:
        """See `socket.socket.accept`. Raises `BlockingIOError` also while this process waits."""
        if not self._waited and not self.is_mine():
            loop = IOLoop.current()
            loop.update_handler(self.fileno(), 0)
            loop.call_later(PAUSE, self._go_on)
            raise BlockingIOError
        return super().accept()

    def _go_on(self) -> None:
        if self.fileno() == -1:
            return
        IOLoop.current().update_handler(self.fileno(), IOLoop.READ)
        self._waited = True
        # Waiting connections are accepted in the next iteration, after its callbacks.
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_soon, self._end_turn)

    def _end_turn(self) -> None:
        self._waited = False

"""A worker process, as it sees itself: its number, and the channel to its parent.

The channel is a socket pair. Each line that the worker writes is a report, which may be followed by
a space and a text. The parent writes nothing. When it closes its end or dies, the worker stops as
after SIGTERM.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable, Iterator

from tatsumaki_py.control_characters import escape_controls
from tatsumaki_py.logger import log_worker
from tatsumaki_py.server import signals, systemd
from tatsumaki_py.server.forking import PROCESSES
from tatsumaki_py.server.turns import Turns

__all__ = ["FAILED", "LISTENING", "STOP", "STOPPING", "Worker"]

_log = logging.getLogger("tatsumaki")

VARIABLE = "TATSUMAKI_WORKER"
"""The environment variable with the worker's number."""
LISTENING = "listening"
RUNS = "runs"
"""The event loop is not blocked."""
STOPPING = "stopping"
STOP = "stop"
"""`Server.stop` was called: all processes must stop."""
FAILED = "failed"
"""The worker did not start; the text gives the reason."""
LONGEST_TEXT = 4000
"""Maximum characters of a text. The channel takes a report as a whole, or not at all."""


class Worker:
    """This process: worker `number`, counted from 1.

    Args:
        channel: this process's end of the channel to the parent. It is non-blocking.
        turns: the connections of all workers.
        period: seconds within which the parent expects two reports that the event loop is
            running.
    """

    def __init__(
        self, number: int, channel: socket.socket, turns: Turns, period: float | None
    ) -> None:
        self._number = number
        self._channel = channel
        self._turns = turns
        self._period = period
        os.environ[VARIABLE] = str(number)
        # Another server in this process, such as one for metrics, must use one process.
        os.environ[PROCESSES] = "1"
        log_worker(number)

    def _report(self, report: str, text: str = "") -> None:
        # The parent may be gone. If it is not reading now, a later report of the kind suffices.
        with contextlib.suppress(OSError):
            self._channel.send(f"{report} {escape_controls(text)}\n".encode())

    def failed(self, error: Exception) -> None:
        """Report that the server did not start."""
        self._report(FAILED, str(error)[:LONGEST_TEXT])

    @contextlib.contextmanager
    def watch(self) -> Iterator[None]:
        """See `Announcing.watch`."""
        loop = asyncio.get_running_loop()

        def stop_once() -> None:
            loop.remove_reader(self._channel)
            signals.stop()

        loop.add_reader(self._channel, stop_once)
        try:
            yield
        finally:
            loop.remove_reader(self._channel)

    def sockets(self, sockets: list[socket.socket], load: Callable[[], int]) -> list[socket.socket]:
        """See `Announcing.sockets`."""
        self._turns.is_mine(self._number, load())
        return [self._turns.socket(sock, self._number, load) for sock in sockets]

    def listening(self, urls: list[str]) -> None:
        """See `Announcing.listening`."""
        _log.info("process %d is listening", os.getpid())
        self._report(LISTENING)

    async def keep_alive(self) -> None:
        """See `Announcing.keep_alive`."""
        await systemd.keep_alive(self._period, lambda: self._report(RUNS))

    def stopping(self) -> None:
        """See `Announcing.stopping`."""
        self._report(STOPPING)

    def stop(self) -> bool:
        """See `Announcing.stop`."""
        self._report(STOP)
        return True

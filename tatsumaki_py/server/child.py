"""A worker process, as its parent sees it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterator

__all__ = ["Child"]

LONGEST = 65536
"""Maximum bytes of a report."""


class Child:
    """A worker that was started.

    Args:
        number: the worker's number, counted from 1. Its replacement has the same number.
        process: its process id.
        channel: this process's end of the channel; see `worker`. It is non-blocking.
    """

    def __init__(self, number: int, process: int, channel: socket.socket) -> None:
        self.number = number
        self.process = process
        self.channel = channel
        self.heard = time.monotonic()
        """The time of the worker's last report."""
        self.listens: float | None = None
        """The time at which the worker began to listen."""
        self.late: float | None = None
        """The time by which the worker should have started or ended. None if neither is awaited."""
        self.leaving = False
        """Whether the worker is stopping without a request from its parent, and must be replaced.
        """
        self.failure: str | None = None
        """The reason why the worker did not start."""
        self.silent = False
        """Whether the worker has closed its end of the channel."""
        self._bytes = b""

    def __str__(self) -> str:
        return f"worker {self.number} (process {self.process})"

    def reports(self) -> Iterator[tuple[str, str]]:
        """The reports since the last call, each with its text."""
        with contextlib.suppress(OSError):
            while data := self.channel.recv(LONGEST):
                self._bytes = (self._bytes + data)[-LONGEST:]
            self.silent = True
        *lines, self._bytes = self._bytes.split(b"\n")
        for line in lines:
            report, _, text = line.decode("utf-8", "replace").partition(" ")
            yield report, text

    def stop(self) -> None:
        """Tell the worker to stop; see `worker`."""
        with contextlib.suppress(OSError):
            self.channel.shutdown(socket.SHUT_WR)

    def kill(self) -> None:
        """Kill the worker."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process, signal.SIGKILL)

    def end(self, status: int) -> str:
        """How the worker ended, for the log. `status` is negative for a signal."""
        if status >= 0:
            text = f"{self} ended with status {status}"
        else:
            try:
                name = signal.Signals(-status).name
            except ValueError:
                name = f"signal {-status}"
            text = f"{self} was killed by {name}"
        return f"{text}: {self.failure}" if self.failure else text

"""SIGINT (Ctrl-C) and SIGTERM: the first one stops all servers cleanly, the second one
immediately.

Rules:
1. The same signal again within `REPEAT` seconds does not count as a second signal. ``timeout`` of
   coreutils, for example, signals its child and then its process group, which includes the child.
2. The second signal needs no event loop: it also ends a program whose loop is blocked.
3. Only the main thread receives signals. A server in another thread is stopped by `Server.stop`.
4. In a worker process (`become_worker`), only SIGTERM stops the server. A terminal sends SIGINT to
   all processes, and the parent passes the stop on.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any

__all__ = ["NUMBERS", "become_worker", "handled", "kept", "stop"]

_log = logging.getLogger("tatsumaki")

NUMBERS = (signal.SIGINT, signal.SIGTERM)
REPEAT = 0.3


class _Signals:
    """The signal handlers of the process, for all servers of the main thread."""

    def __init__(self) -> None:
        self._stops: list[Callable[[], None]] = []
        self._lasts: list[Callable[[], None]] = []
        self._before: dict[int, Any] = {}
        self._first: tuple[int, float] | None = None
        """The first signal, and the time at which it came."""
        self.kept = False

    def add(self, stop: Callable[[], None], last: Callable[[], None]) -> None:
        self._stops.append(stop)
        self._lasts.append(last)
        if not self._before:
            self._first = None
            self._before = {number: signal.signal(number, self._handle) for number in _numbers}

    def remove(self, stop: Callable[[], None], last: Callable[[], None]) -> None:
        self._stops.remove(stop)
        self._lasts.remove(last)
        self.restore()

    def restore(self) -> None:
        """Restore the previous signal handlers, unless a server still needs its own."""
        if self._stops or self.kept:
            return
        before, self._before = self._before, {}
        _set(before)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._first is None and self._stops:
            self._first = number, now
            self.stop()
        elif self._first is None or number != self._first[0] or now >= self._first[1] + REPEAT:
            for last in self._lasts:
                last()
            _exit(number)

    def stop(self) -> None:
        for stop in self._stops:
            stop()


_signals = _Signals()
_numbers: tuple[signal.Signals, ...] = NUMBERS


def _nothing() -> None:
    pass


@contextlib.contextmanager
def handled(stop: Callable[[], None], last: Callable[[], None] = _nothing) -> Iterator[None]:
    """Call `stop` at the first signal, at any moment. The second signal calls `last` and ends the
    process with the status 128 + its number, as in shells.
    """
    if not _main():
        yield
        return
    _signals.add(stop, last)
    try:
        yield
    finally:
        _signals.remove(stop, last)


def stop() -> None:
    """Stop all servers as the first signal does. The next signal still counts as the first."""
    _signals.stop()


def become_worker() -> None:
    """Forget the handlers of the parent, in a process that was just forked. See rule 4."""
    global _signals, _numbers
    _signals, _numbers = _Signals(), (signal.SIGTERM,)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # Not SIG_IGN, because child programs would inherit it.
    signal.signal(signal.SIGINT, lambda number, frame: None)


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Let a signal still end the process when the last server has ended."""
    if not _main():
        yield
        return
    # Must run before asyncio.Runner sets its own handler.
    before: dict[int, Any] = {number: signal.getsignal(number) for number in _numbers}
    _signals.kept = True
    try:
        yield
    finally:
        _signals.kept = False
        _signals.restore()
        _set(before)


def _set(handlers: Mapping[int, Any]) -> None:
    for number, handler in handlers.items():
        # None means that Python did not set it.
        signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _main() -> bool:
    return threading.current_thread() is threading.main_thread()


def _exit(number: int) -> None:
    # The signal may have interrupted a write to the log.
    with contextlib.suppress(Exception):
        _log.warning("stopped immediately by a second signal")
    with contextlib.suppress(Exception):
        sys.stdout.flush()
    os._exit(128 + number)

"""SIGINT (Ctrl-C) and SIGTERM: the first one stops a server in order, the second one at once.

Rules:
1. The second signal needs no event loop: it also ends a program whose loop is held up.
2. Only the main thread can have signals. A server in another thread has `Server.stop`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

__all__ = ["handle", "restored"]

_log = logging.getLogger("tatsumaki")

NUMBERS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def restored() -> Iterator[None]:
    """Put back at the end what handled the signals before."""
    before = {number: signal.getsignal(number) for number in NUMBERS} if _main() else {}
    try:
        yield
    finally:
        for number, handler in before.items():
            # None: it was not set by Python.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def handle(stop: Callable[[], None]) -> None:
    """Call `stop`, which may be called at any moment, for the first signal. The second one ends the
    process with the status 128 + its number, as shells say it.
    """
    stopping = False

    def signalled(number: int, frame: FrameType | None) -> None:
        nonlocal stopping
        if stopping:
            _exit(number)
        stopping = True
        stop()

    if _main():
        for number in NUMBERS:
            signal.signal(number, signalled)


def _main() -> bool:
    return threading.current_thread() is threading.main_thread()


def _exit(number: int) -> None:
    # The signal may have interrupted a write to the log.
    with contextlib.suppress(Exception):
        _log.warning("stopped at once, by a second signal")
    with contextlib.suppress(Exception):
        sys.stdout.flush()
    os._exit(128 + number)

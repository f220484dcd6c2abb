"""The log lines of the thread of a publisher.

Rules:
1. That thread never waits for a `logging.Handler`, because a handler that publishes lines may wait
   for that thread. Another thread logs the lines, and ends when none is left.
2. The publisher refuses to publish these lines. Otherwise, each line about a fault of the publisher
   could cause the next one.
3. Each line is logged once. A forked process logs none of its parent's lines.
"""

from __future__ import annotations

import logging
import threading
from collections import deque

__all__ = ["ThreadLog"]

MOST = 1000
"""Maximum number of lines that wait while a handler blocks. Further lines are dropped and counted.
"""
FLUSH = 0.5
"""Maximum seconds that `ThreadLog.flush` waits."""

# asyncio logs its own faults, and those of tasks that this thread garbage-collects.
_loggers = [logging.getLogger("tatsumaki"), logging.getLogger("asyncio")]


class ThreadLog:
    """The lines of the threads of one publisher."""

    def __init__(self) -> None:
        # Python may collect garbage anywhere, and finalizers may log.
        self._lock = threading.RLock()
        self._records: deque[logging.LogRecord] = deque()
        self._dropped = 0
        self._thread: threading.Thread | None = None

    def adopt(self) -> None:
        """Register the calling thread as the publisher's thread."""
        _here.log, _here.is_publisher = self, True
        for logger in _loggers:
            if _is_logged_here not in logger.filters:
                # Otherwise other filters would see the line twice.
                logger.filters.insert(0, _is_logged_here)

    @property
    def is_here(self) -> bool:
        """Whether the calling thread is the publisher's thread, or logs its lines."""
        return _here.log is self

    def add(self, record: logging.LogRecord) -> None:
        """Log a record soon, in another thread."""
        with self._lock:
            if len(self._records) >= MOST:
                self._dropped += 1
                return
            self._records.append(record)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="tatsumaki-publisher-log", daemon=True
                )
                try:
                    self._thread.start()
                except RuntimeError:
                    # The interpreter is ending: `flush` logs it.
                    self._thread = None

    def _run(self) -> None:
        _here.log = self
        self._log_all()

    def _log_all(self) -> None:
        while True:
            with self._lock:
                dropped, self._dropped = self._dropped, 0
                if dropped:
                    text = f"{dropped} log lines of a publisher's thread were dropped"
                    self._records.append(_warning(text))
                if not self._records:
                    self._thread = None
                    return
                record = self._records.popleft()
            try:
                logging.getLogger(record.name).handle(record)
            except BaseException:
                # Prints the error to stderr with the line. SystemExit is caught, too, because
                # otherwise further lines would wait forever.
                logging.Handler().handleError(record)

    def flush(self) -> None:
        """Wait until the lines are logged, but not long, because the caller may be in a handler."""
        if self.is_here:
            return
        with self._lock:
            # Under the lock, so that a stored thread has been started and can be joined.
            thread = self._thread
        if thread is not None:
            thread.join(FLUSH)
        elif self._records:
            before, _here.log = _here.log, self
            try:
                self._log_all()
            finally:
                _here.log = before


def _warning(text: str) -> logging.LogRecord:
    return logging.LogRecord("tatsumaki", logging.WARNING, __file__, 0, text, None, None)


class _Here(threading.local):
    """The identity of the calling thread."""

    log: ThreadLog | None = None
    is_publisher = False


_here = _Here()


def _is_logged_here(record: logging.LogRecord) -> bool:
    """Filter out a record of the publisher's thread, and have another thread log it."""
    if not _here.is_publisher or _here.log is None:
        return True
    # Drop asyncio's DEBUG lines, such as the one that names the selector of a new loop.
    if record.name != "asyncio" or record.levelno > logging.DEBUG:
        _here.log.add(record)
    return False

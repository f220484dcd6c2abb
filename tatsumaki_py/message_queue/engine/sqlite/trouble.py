"""Two lines in the log: when something does not work, and when it works again."""

from __future__ import annotations

import logging
import time

from tatsumaki_py.message_queue.engine.sqlite.file import broken, said

__all__ = ["Trouble"]

CALM = 1.0
"""Seconds without an error after which trouble is over."""

_log = logging.getLogger("tatsumaki")


class Trouble:
    """What does not work for now.

    Args:
        begins: the line when it begins, about a file and a reason.
        is_over: the line when it is over, about a file.
        path: the file.
    """

    def __init__(self, begins: str, is_over: str, path: str) -> None:
        self._begins = begins
        self._is_over = is_over
        self._path = path
        self._now = False
        self._for_good = False
        self._failed_at = 0.0

    def failed(self, error: Exception) -> None:
        """It does not work."""
        self._failed_at = time.monotonic()
        # Other pages of a file that is damaged are read and written, which would be many lines.
        self._for_good = self._for_good or broken(error)
        if not self._now:
            self._now = True
            _log.error(self._begins, self._path, said(error))

    def worked(self) -> None:
        """It works, at least this time."""
        if self._now and not self._for_good and time.monotonic() >= self._failed_at + CALM:
            self._now = False
            _log.warning(self._is_over, self._path)

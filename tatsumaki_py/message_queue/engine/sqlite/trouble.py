"""Logs two lines about a fault: one when it begins, one when it ends."""

from __future__ import annotations

import logging
import time

from tatsumaki_py.message_queue.engine.sqlite.file import broken, said

__all__ = ["Trouble"]

CALM = 1.0
"""Seconds without an error after which the fault has ended."""

_log = logging.getLogger("tatsumaki")


class Trouble:
    """A fault that may begin and end.

    Args:
        begins: the format of the first line, with the file and the reason.
        is_over: the format of the second line, with the file.
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
        """An attempt has failed."""
        self._failed_at = time.monotonic()
        # Other pages of a damaged file still work. Without this check there would be many lines.
        self._for_good = self._for_good or broken(error)
        if not self._now:
            self._now = True
            _log.error(self._begins, self._path, said(error))

    def worked(self) -> None:
        """An attempt has succeeded."""
        if self._now and not self._for_good and time.monotonic() >= self._failed_at + CALM:
            self._now = False
            _log.warning(self._is_over, self._path)

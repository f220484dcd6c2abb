"""Log lines about a fault that may repeat."""

from __future__ import annotations

import logging
from typing import Any

from tatsumaki_py.message_queue.alarm import now

__all__ = ["Sparing"]

PAUSE = 10.0
"""Seconds between two lines."""

_log = logging.getLogger("tatsumaki")


class Sparing:
    """Logs errors, at most one line every `PAUSE` seconds. A line counts the errors skipped before
    it.
    """

    def __init__(self) -> None:
        self._next = 0.0
        self._left_out = 0

    def error(self, text: str, *args: Any, exc_info: bool = False) -> None:
        """Log an error, or count it."""
        time = now()
        if time < self._next:
            self._left_out += 1
            return
        if self._left_out:
            text += " (%d more errors since the last such line)"
            args += (self._left_out,)
        self._next, self._left_out = time + PAUSE, 0
        _log.error(text, *args, exc_info=exc_info)

"""Two lines in the log: when something does not work, and when it works again."""

from __future__ import annotations

import logging

__all__ = ["Trouble"]

_log = logging.getLogger("tatsumaki")


class Trouble:
    """What does not work for now.

    Args:
        begins: the line when it begins, about a thing and a reason.
        is_over: the line when it is over, about a thing.
    """

    def __init__(self, begins: str, is_over: str) -> None:
        self._begins = begins
        self._is_over = is_over
        self._now = False

    def is_now(self, reason: str, thing: str) -> None:
        """`thing` does not work because of `reason`, or works if that is empty."""
        if reason and not self._now:
            _log.error(self._begins, thing, reason)
        elif self._now and not reason:
            _log.warning(self._is_over, thing)
        self._now = bool(reason)

"""The recent places of a stream, in case its client did not receive the sent events.

Rule: this file reads no clock; callers pass the time.
"""

from __future__ import annotations

__all__ = ["Trail"]


class Trail:
    """The cursors that a stream passed while it read from the log, for two windows of time.

    Attributes:
        began: the cursor at which the stream began.

    >>> trail = Trail("1-0")
    >>> trail.step("2-0", now=0.0, window=30.0)
    >>> trail.step("3-0", now=40.0, window=30.0)
    >>> trail.place(now=50.0, window=30.0), trail.place(now=99.0, window=30.0)
    ('2-0', '3-0')
    >>> trail.place(now=101.0, window=30.0) is None
    True
    """

    __slots__ = ("_at", "_before", "_since", "began")

    def __init__(self, began: str) -> None:
        self.began = self._at = self._before = began
        self._since = float("-inf")

    def step(self, cursor: str, now: float, window: float) -> None:
        """The events after `cursor` are about to be sent."""
        if now - self._since >= window:
            self._before, self._at, self._since = self._at, cursor, now

    def place(self, now: float, window: float) -> str | None:
        """A cursor before all events that were sent in the last `window` seconds; None if no events
        were sent.
        """
        age = now - self._since
        if age < window:
            return self._before
        return self._at if age < 2 * window else None

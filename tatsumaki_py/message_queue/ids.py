"""Ids of events: how they are made, and how the cursors of clients are checked.

Rules:
1. An id is ``"<milliseconds>-<sequence>"``: the form of a Redis stream id. The ids of one `Ids` are
   strictly increasing, also when the clock steps back.
2. No two lives of the process give out the same id: the sequence of each millisecond begins at a
   random number that each life draws. So a cursor of another life matches no event, and is a gap.
3. A cursor that does not have the form of an id becomes `NOWHERE`, which matches no event either.
"""

from __future__ import annotations

import re
import secrets
import time

__all__ = ["NOWHERE", "Ids", "normalized", "position"]

NOWHERE = "0-0"
"""A cursor that no log knows: the events after it are lost."""

_ID = re.compile(r"(\d{1,20})-(\d{1,20})", re.ASCII)
_LIVES = 30
"""Bits of the random number of a life."""
_COUNT = 10
"""Bits of the count of events in one millisecond, below the random number."""


def position(id: str) -> tuple[int, int]:
    """An id as numbers, which are in the order of the channel. Raises `ValueError`."""
    match = _ID.fullmatch(id)
    if match is None:
        raise ValueError(f"not an event id: {id!r}")
    return int(match[1]), int(match[2])


def normalized(cursor: str) -> str:
    """`cursor`, if it has the form of an id, else `NOWHERE`."""
    return cursor if _ID.fullmatch(cursor) else NOWHERE


class Ids:
    """Gives ids by this machine's clock.

    Args:
        after: an id that an earlier life gave out. All ids are greater.

    >>> ids = Ids()
    >>> first, second = ids.next(), ids.next()
    >>> position(first) < position(second)
    True
    """

    def __init__(self, after: str = NOWHERE) -> None:
        self._first = secrets.randbits(_LIVES) << _COUNT
        self._last = position(after)

    @property
    def newest(self) -> str:
        """The id that was given out last, or `after`."""
        return f"{self._last[0]}-{self._last[1]}"

    def next(self) -> str:
        """An id that is greater than all before it."""
        milliseconds, sequence = self._last
        now = time.time_ns() // 1_000_000
        self._last = (now, self._first) if now > milliseconds else (milliseconds, sequence + 1)
        return f"{self._last[0]}-{self._last[1]}"

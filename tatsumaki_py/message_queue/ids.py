"""Makes ids of events, and checks the cursors of clients.

Rules:
1. An id is ``"<milliseconds>-<sequence>"``: the form of a Redis stream id. The ids of one `Ids` are
   strictly increasing, even when the clock steps back.
2. No two runs of a process produce the same id, because the sequence of each millisecond begins at
   a random number of the run. A cursor from another run therefore matches no event, and leads to a
   gap.
3. A cursor that does not have the form of an id becomes `NOWHERE`, which matches no event either.
"""

from __future__ import annotations

import re
import secrets
import time

__all__ = ["NOWHERE", "Ids", "normalized", "position"]

NOWHERE = "0-0"
"""A cursor that is in no log: the events after it count as lost."""

_ID = re.compile(r"(\d{1,20})-(\d{1,20})", re.ASCII)
_LIVES = 30
"""Bits of the random number of a run."""
_COUNT = 10
"""Bits of the count of events in one millisecond, below the random number."""


def position(id: str) -> tuple[int, int]:
    """An id as a pair of numbers, whose order is that of the channel. Raises `ValueError` if `id`
    does not have the form of an id.
    """
    match = _ID.fullmatch(id)
    if match is None:
        raise ValueError(f"not an event id: {id!r}")
    return int(match[1]), int(match[2])


def normalized(cursor: str) -> str:
    """`cursor`, if it has the form of an id, else `NOWHERE`."""
    return cursor if _ID.fullmatch(cursor) else NOWHERE


class Ids:
    """Makes ids from this machine's clock.

    Args:
        after: the last id of an earlier run. All new ids are greater.

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
        """The last id, or `after`."""
        return f"{self._last[0]}-{self._last[1]}"

    def next(self) -> str:
        """An id greater than all earlier ones."""
        milliseconds, sequence = self._last
        now = time.time_ns() // 1_000_000
        self._last = (now, self._first) if now > milliseconds else (milliseconds, sequence + 1)
        return f"{self._last[0]}-{self._last[1]}"

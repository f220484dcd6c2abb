"""The events that a reader gets before it is at an ordinary place in a log.

Rule: only logs inspect a `LeadIn`; other code keeps it together with its cursor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["LeadIn", "joined", "parts_of"]


class LeadIn(NamedTuple):
    """The first events of a reader that does not begin inside the log: the last values that were
    published before `start`, then the log from there on. In merged logs, each part is one of each
    log, joined by commas; it is empty for a log in which the reader has read them.

    Attributes:
        start: the place in the log up to which only kept last values are read.
        end: for a newcomer, the newest id when it came: up to there it gets quiet events, and only
            the last event of each key. Empty for a reader that got a gap instead.
    """

    start: str
    end: str


def joined(leads: Sequence[LeadIn | None]) -> LeadIn | None:
    """The combination for several logs; None if there is nothing to read in any of them."""
    if not any(leads):
        return None
    parts = [lead or LeadIn("", "") for lead in leads]
    return LeadIn(",".join([lead.start for lead in parts]), ",".join([lead.end for lead in parts]))


def parts_of(lead: LeadIn | None, count: int) -> list[LeadIn | None]:
    """The inverse of `joined`, for `count` logs.

    >>> lead = joined([LeadIn("1-0", "3-0"), None])
    >>> parts_of(lead, 2)
    [LeadIn(start='1-0', end='3-0'), None]
    """
    if lead is None:
        return [None] * count
    pairs = zip(lead.start.split(","), lead.end.split(","), strict=True)
    return [LeadIn(start, end) if start else None for start, end in pairs]

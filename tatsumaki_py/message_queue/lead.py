"""How a reader begins if it needs the last events of keys, which may be older than the log.

Rule: only logs inspect a `LeadIn`; other code keeps it together with its cursor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["LeadIn", "joined", "parts_of"]


class LeadIn(NamedTuple):
    """The lead-in of a reader: up to `start` it gets only the last events of keys, then the log.

    For merged logs, each attribute has one part per log, joined by commas. The parts of a log in
    which the reader has no lead-in are empty.

    Attributes:
        start: the place in the log up to which the reader gets only kept last events.
        end: for a new client, the newest id when it arrived. Up to this id it also gets quiet
            events, and of each key only the last event. Empty for a reader that got a gap.
    """

    start: str
    end: str


def joined(leads: Sequence[LeadIn | None]) -> LeadIn | None:
    """The lead-ins in several logs as one; None if there is no lead-in in any log."""
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

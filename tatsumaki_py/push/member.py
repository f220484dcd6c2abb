"""A cohort, its members, and the counts of their data.

Rule: the data sent to a cohort is counted once for all members, in `Cohort.sent`. `Member.mark` is
the value of `Cohort.sent` when the member joined. A member that leaves adds the difference to the
counters of its stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tatsumaki_py.counters import COUNTERS, Traffic
from tatsumaki_py.push.place import NOTHING, Place, Sent, Slice
from tatsumaki_py.push.stream import Stream

__all__ = ["Cohort", "Member", "count"]


class Cohort(Place):
    """The streams at one place in a log."""

    __slots__ = ("left", "members", "sent")

    def __init__(self, place: Place) -> None:
        super().__init__(place.cursor, place.lead)
        self.sent = NOTHING
        self.members: list[Member] = []
        self.left = 0
        """The number of members that are no longer at this place."""

    def recount(self, sent: Sent) -> None:
        """Set `sent` without changing the counts of the members."""
        for member in self.members:
            if member.place is self:
                member.settle()
                member.mark = sent
        self.sent = sent


class Member(Protocol):
    """A `tatsumaki_py.push.reading.Reading`, as its cohort sees it."""

    place: Place
    stream: Stream
    mark: Sent

    def hold(self) -> None:
        """Keep `cursor` where it is until the kernel has taken all data of the stream."""

    def settle(self) -> None:
        """Update the counters of the stream with the data sent to its cohort."""


def count(members: Sequence[Member], read: Slice, traffic: Traffic, late: bool) -> None:
    """Count `read` once for each of `members`: the kernel has taken all of it."""
    taken = len(members)
    traffic.bytes += taken * len(read.data)
    traffic.events += taken * len(read.times)
    COUNTERS.gaps += taken * read.gaps
    if late:
        for member in members:
            member.stream.look_at(read.times)
    else:
        COUNTERS.delivered(read.times, taken)

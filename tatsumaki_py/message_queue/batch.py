"""The events of one delivery, prepared once for all listeners at the same place."""

from __future__ import annotations

from collections.abc import Sequence

from tatsumaki_py.message_queue.client import Place
from tatsumaki_py.message_queue.event import Entry, Event
from tatsumaki_py.message_queue.peer import ReadableLog

__all__ = ["MAX_ANSWER", "Batch"]

MAX_ANSWER = 1024 * 1024
"""Maximum bytes in the answer to a long poll, and in one batch for code without a peer, unless a
single event has more. The bytes of an event are its `Entry.work`.
"""


class Batch:
    """The first of `entries`, up to `limit` bytes but at least one entry.

    Args:
        place: the place of the listeners.
        log: the log that has the entries.
    """

    __slots__ = ("_values", "entries", "gaps", "place", "times")

    def __init__(
        self, entries: Sequence[Entry], place: Place, log: ReadableLog, limit: float = MAX_ANSWER
    ) -> None:
        if len(entries) > 1:
            entries = _first(entries, limit)
        self.entries = entries
        self.times = [entry.time for entry in entries if not entry.gap]
        """When each event was published (`Entry.time`)."""
        self.gaps = len(entries) - len(self.times)
        lead = place.lead
        if lead is not None or self.gaps:
            lead = log.lead_after(lead, entries)
        self.place = Place(entries[-1].id if entries else place.cursor, lead)
        """The place after these entries."""
        self._values: list[Event] | None = None

    def values(self) -> list[Event]:
        """The events, for users' callbacks."""
        if self._values is None:
            self._values = [entry.event() for entry in self.entries]
        return self._values


def _first(entries: Sequence[Entry], limit: float) -> Sequence[Entry]:
    size = 0
    for count, entry in enumerate(entries):
        size += entry.work
        if count and size > limit:
            return entries[:count]
    return entries

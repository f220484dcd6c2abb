"""A place in a log, and the events that follow it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tatsumaki_py.message_queue.event import Entry
from tatsumaki_py.message_queue.lead import LeadIn
from tatsumaki_py.message_queue.peer import ReadableLog
from tatsumaki_py.push.framing import Framing

__all__ = ["NOTHING", "Place", "Sent", "Slice"]


class Place:
    """A place in a log."""

    __slots__ = ("cursor", "lead")

    def __init__(self, cursor: str, lead: LeadIn | None = None) -> None:
        self.cursor = cursor
        self.lead = lead
        """Events to send before the events that follow `cursor` in the log."""

    @property
    def key(self) -> tuple[str, LeadIn | None]:
        """Equal for all places that have the same events after them."""
        return self.cursor, self.lead

    def copy(self) -> Place:
        """Another place at the same cursor."""
        return Place(self.cursor, self.lead)


class Sent(NamedTuple):
    """How much was sent: the number of events and of bytes."""

    events: int
    bytes: int

    def with_(self, read: Slice, times: int = 1) -> Sent:
        """The sum of this and `times` times `read`."""
        return Sent(self.events + times * len(read.times), self.bytes + times * len(read.data))


NOTHING = Sent(0, 0)


class Slice:
    """The bytes of the events after a place, and the place after the last of these events."""

    __slots__ = ("data", "end", "gaps", "times")

    def __init__(self, data: bytes, end: Place, events: Sequence[Entry] = ()) -> None:
        self.data = data
        self.end = end
        self.times = [event.time for event in events if not event.gap]
        """When each event was published (`Entry.time`)."""
        self.gaps = len(events) - len(self.times)

    @classmethod
    def of(cls, log: ReadableLog, place: Place, framing: Framing, room: int) -> Slice:
        """The events that follow `place` in `log`: at least one event, if there is one, and not
        much more than `room` bytes.
        """
        cursor, lead = place.cursor, place.lead
        frames: list[bytes] = []
        gap = False
        events = log.since(cursor, lead)
        for event in events:
            frame = framing.frame(event)
            room -= len(frame)
            if room < 0 and frames:
                break
            frames.append(frame)
            cursor = event.id
            gap = gap or event.gap
        if lead is not None or gap:
            lead = log.lead_after(lead, events[: len(frames)])
        if not events:
            # Skip the rest: its events are quiet or superseded, so this reader gets none of them.
            cursor = log.top
        if cursor == log.top:
            lead = None
        data = frames[0] if len(frames) == 1 else b"".join(frames)
        return cls(data, Place(cursor, lead), events[: len(frames)])

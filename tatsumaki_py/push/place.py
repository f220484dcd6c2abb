"""A place in a log, and the events that follow it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tatsumaki_py.message_queue.event import Entry
from tatsumaki_py.message_queue.peer import ReadableLog
from tatsumaki_py.push.framing import Framing

__all__ = ["NOTHING", "Place", "Sent", "Slice"]


class Place:
    """A place in a log."""

    __slots__ = ("cursor", "quiet")

    def __init__(self, cursor: str, quiet: str | None = None) -> None:
        self.cursor = cursor
        self.quiet = quiet
        """The cursor up to which quiet events are sent as well. With None, no quiet event is sent.
        """

    @property
    def key(self) -> tuple[str, str | None]:
        """Equal for all places that have the same events after them."""
        return self.cursor, self.quiet

    def copy(self) -> Place:
        """Another place at the same cursor."""
        return Place(self.cursor, self.quiet)


class Sent(NamedTuple):
    """Sent data: the numbers of events and of bytes."""

    events: int
    bytes: int

    def with_(self, read: Slice, times: int = 1) -> Sent:
        """This and `read`; with -1 for `times`, this without `read`."""
        return Sent(self.events + times * len(read.times), self.bytes + times * len(read.data))


NOTHING = Sent(0, 0)


class Slice:
    """The bytes of the events after a place, and the place at which they end."""

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
        cursor, quiet = place.cursor, place.quiet
        frames: list[bytes] = []
        events = log.since(cursor, quiet is not None)
        for event in events:
            frame = framing.frame(event)
            room -= len(frame)
            if room < 0 and frames:
                break
            frames.append(frame)
            cursor = event.id
            if quiet is not None and (event.gap or cursor == quiet):
                # After a gap, the log does not know which quiet events came later.
                quiet = None
                break
        if not events:
            # All events after it are quiet.
            cursor = log.top
        if cursor == log.top:
            quiet = None
        data = frames[0] if len(frames) == 1 else b"".join(frames)
        return cls(data, Place(cursor, quiet), events[: len(frames)])

"""The newest event of each key.

Rules:
1. `inside` has those that are in the log, `before` those that the log has dropped, each oldest
   first. All events in `before` are older than the log.
2. A channel without keys has no `Kept`.
3. The bounds are checked by `shrink` and `expire`; the key that was published longest ago is
   evicted first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tatsumaki_py.message_queue.event import Entry
from tatsumaki_py.message_queue.ids import position
from tatsumaki_py.message_queue.lead import LeadIn

__all__ = ["Kept", "KeptLoss"]


class KeptLoss(Entry):
    """A gap that kept events follow. Its id is the place before the first of them, so a client that
    loses its connection after the gap does not miss them.
    """

    __slots__ = ("lead",)

    lead: LeadIn


class Kept:
    """The newest events of the keys of one log."""

    __slots__ = ("before", "inside", "size")

    def __init__(self) -> None:
        self.inside: dict[str, Entry] = {}
        self.before: dict[str, Entry] = {}
        self.size = 0
        """Bytes of the events in `before`."""

    def publish(self, key: str, event: Entry) -> None:
        """`event` is the newest one of its key."""
        former = self.before.pop(key, None)
        if former is not None:
            self.size -= former.size
        # It is the last one of the dict then.
        self.inside.pop(key, None)
        self.inside[key] = event

    def drop(self, key: str, event: Entry) -> None:
        """The log has dropped `event`."""
        if self.inside.get(key) is event:
            del self.inside[key]
            self._keep(key, event)

    def put_back(self, events: Sequence[Entry]) -> None:
        """`events`, which are older than those in the log, are in the log again."""
        again: dict[str, Entry] = {}
        for event in events:
            known = None if event.key is None else self.before.get(event.key)
            if known is not None and known.id == event.id and event.key is not None:
                self.size -= self.before.pop(event.key).size
                again[event.key] = event
        if again:
            self.inside = again | self.inside

    def load(self, events: Iterable[Entry]) -> None:
        """Take over events that are older than the log, oldest first."""
        for event in events:
            if event.key is not None:
                self._keep(event.key, event)

    def _keep(self, key: str, event: Entry) -> None:
        former = self.before.pop(key, None)
        self.size += event.size - (0 if former is None else former.size)
        self.before[key] = event

    def shrink(self, keys: float, size: float) -> None:
        """Evict keys until there are at most `keys`, and those before the log have `size` bytes."""
        while self.before and (len(self.before) + len(self.inside) > keys or self.size > size):
            self._evict()
        while len(self.inside) > keys:
            del self.inside[next(iter(self.inside))]

    def expire(self, before: int) -> None:
        """Evict the events older than `before` milliseconds since the epoch."""
        while self.before and position(next(iter(self.before.values())).id) < (before, 0):
            self._evict()

    def _evict(self) -> None:
        key = next(iter(self.before))
        self.size -= self.before.pop(key).size

    def oldest(self) -> Entry | None:
        """The event of the key that was published longest ago."""
        return next(iter((self.before or self.inside).values()), None)

    # -- reading

    def loss(self, cursor: str, floor: str, channel: str) -> tuple[Entry, ...]:
        """A gap after `cursor`, and the events after it that a log which begins at `floor` has
        dropped; nothing if there are none.
        """
        place = position(cursor)
        # A place after the floor is one of another life: it says nothing about these events.
        events = self._dropped_after(place if place < position(floor) else (0, 0), quiet=False)
        if not events:
            return ()
        gap = KeptLoss.loss(cursor, events[0].prev, channel)
        assert isinstance(gap, KeptLoss)
        gap.lead = LeadIn(floor, "")
        return (gap, *events)

    def lead_in(self, cursor: str, lead: LeadIn, new: Sequence[Entry]) -> list[Entry]:
        """The events after `cursor` of a reader that has to read `lead`; `new` are those in the
        log that follow `lead.start`, up to `lead.end`.
        """
        place, start = position(cursor), position(lead.start)
        events = self._dropped_after(place, quiet=bool(lead.end))
        if not lead.end:
            return events
        if place < start:
            for event in self.inside.values():
                here = position(event.id)
                if here > start:
                    break
                if here > place:
                    events.append(event)
        inside = self.inside
        events += [each for each in new if each.key is None or inside.get(each.key) is each]
        return events

    def _dropped_after(self, cursor: tuple[int, int], quiet: bool) -> list[Entry]:
        events = [event for event in self.before.values() if quiet or not event.quiet]
        if not events or position(events[0].id) > cursor:
            return events
        return [event for event in events if position(event.id) > cursor]

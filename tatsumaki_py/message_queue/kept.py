"""The newest event of each key.

Rules:
1. `inside` has the events that are still in the log, `before` those that the log has dropped. Both
   are ordered, oldest first. Every event in `before` is older than the log.
2. A channel without keys has no `Kept`.
3. Only `shrink` and `expire` evict keys, starting with the key that was published longest ago.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tatsumaki_py.message_queue.event import Entry
from tatsumaki_py.message_queue.ids import position
from tatsumaki_py.message_queue.lead import LeadIn

__all__ = ["Kept", "KeptLoss"]


class KeptLoss(Entry):
    """A gap that is followed by kept events. Its id is the place before the first of them, so that
    a client that loses its connection right after the gap still gets them.
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
        """Record `event` as the newest of `key`."""
        former = self.before.pop(key, None)
        if former is not None:
            self.size -= former.size
        # Removed first, so that the key moves to the end of the dict.
        self.inside.pop(key, None)
        self.inside[key] = event

    def drop(self, key: str, event: Entry) -> None:
        """The log has dropped `event`: keep it if it is the newest of `key`."""
        if self.inside.get(key) is event:
            del self.inside[key]
            self._keep(key, event)

    def put_back(self, events: Sequence[Entry]) -> None:
        """The log has loaded `events` again, which are older than its other events."""
        again: dict[str, Entry] = {}
        for event in events:
            known = None if event.key is None else self.before.get(event.key)
            if known is not None and known.id == event.id and event.key is not None:
                self.size -= self.before.pop(event.key).size
                again[event.key] = event
        if again:
            self.inside = again | self.inside

    def load(self, events: Iterable[Entry]) -> None:
        """Keep `events`, which are older than the log, oldest first."""
        for event in events:
            if event.key is not None:
                self._keep(event.key, event)

    def _keep(self, key: str, event: Entry) -> None:
        former = self.before.pop(key, None)
        self.size += event.size - (0 if former is None else former.size)
        self.before[key] = event

    def shrink(self, keys: float, size: float) -> None:
        """Evict keys until at most `keys` are left, and at most `size` bytes in `before`."""
        while self.before and (len(self.before) + len(self.inside) > keys or self.size > size):
            self._evict()
        while len(self.inside) > keys:
            del self.inside[next(iter(self.inside))]

    def expire(self, before: int) -> None:
        """Evict the events published before `before`, in milliseconds since the epoch."""
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
        """A gap after `cursor`, then the kept events between `cursor` and `floor`, where the log
        begins. Empty if there are no such events.
        """
        place = position(cursor)
        # A cursor that is after the floor but not in the log is from before a restart: it does not
        # tell which of these events the client has, so the client gets all of them.
        events = self._dropped_after(place if place < position(floor) else (0, 0), quiet=False)
        if not events:
            return ()
        gap = KeptLoss.loss(cursor, events[0].prev, channel)
        assert isinstance(gap, KeptLoss)
        gap.lead = LeadIn(floor, "")
        return (gap, *events)

    def lead_in(self, cursor: str, lead: LeadIn, new: Sequence[Entry]) -> list[Entry]:
        """The events of `lead` after `cursor`. `new` are the events in the log after `cursor` and
        `lead.start`, up to `lead.end`.
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

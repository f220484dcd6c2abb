"""The log of a channel: its events, oldest first.

Rules:
1. The `prev` of each event is the id of the event before it; the `prev` of the first is the place
   where the log begins. `top` is the id of the newest event, even if that event was dropped.
2. Reading removes nothing. Only `trim`, `expire`, `restart` and `clear` remove events, always the
   oldest ones.
3. `trim` keeps the newest `backlog_length` events, recent events, and events after the place of a
   client that lags behind, up to `buffer_length` events and `buffer_size` bytes.
4. A reader whose place is not in the log gets a gap, then the last events of keys between its place
   and the beginning of the log (`kept`), then the log.
5. When the log drops an event that is the last of its key, the event moves to `kept`, which has its
   own limits.
6. A log uses no clock and knows no clients.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from tatsumaki_py.message_queue.event import Entry, loud
from tatsumaki_py.message_queue.event_json import END
from tatsumaki_py.message_queue.ids import NOWHERE, normalized, position
from tatsumaki_py.message_queue.kept import Kept, KeptLoss
from tatsumaki_py.message_queue.lead import LeadIn

__all__ = ["EventLog"]

_DROPPED = Entry(b"{}", NOWHERE)


class EventLog:
    """A bounded, ordered log of `Entry`.

    >>> log = EventLog(start="0-1")
    >>> for id in ("1-0", "2-0", "3-0"):
    ...     log.append(Entry(b"{}", id, log.top))
    >>> [event.id for event in log.since("1-0")]
    ['2-0', '3-0']
    >>> log.trim(backlog_length=1, buffer_length=10, buffer_size=10_000, since=5.0)
    >>> [(event.gap, event.id) for event in log.since("1-0")]
    [(True, '2-0'), (False, '3-0')]
    """

    __slots__ = (
        "_dropped",
        "_events",
        "_positions",
        "_quiet",
        "_start",
        "_times",
        "channel",
        "ended",
        "kept",
        "length",
        "size",
        "top",
    )

    def __init__(self, channel: str = "", *, start: str) -> None:
        self.channel = channel
        self.top = start
        self.ended = False
        """Whether the newest event is the end of the channel."""
        self.length = 0
        """The number of events."""
        self.size = 0
        """Bytes of these events."""
        self.kept: Kept | None = None
        """The last event of each key; None until an event has a key."""
        self._events: list[Entry] = []
        self._positions: list[tuple[int, int]] = []
        self._times: list[float] = []
        # The three lists begin at `_start`. From time to time, all items before it are removed
        # together. Positions are added on demand.
        self._start = 0
        self._quiet = 0
        # The time of the newest dropped event.
        self._dropped = float("-inf")

    def __len__(self) -> int:
        return self.length

    @property
    def held(self) -> int:
        """Bytes of all events, including kept ones that are older than the log."""
        return self.size if self.kept is None else self.size + self.kept.size

    @property
    def floor(self) -> str:
        """The oldest cursor after which no event is lost."""
        return self._events[self._start].prev if self.length else self.top

    # -- reading

    def newest(self, count: float) -> tuple[Entry, ...]:
        """The newest `count` events, oldest first."""
        # A setting may be any number, including infinity.
        return tuple(self._events[int(max(self._start, len(self._events) - count)) :])

    def newcomer(self, count: float) -> tuple[str, LeadIn | None]:
        """The cursor and the lead-in of a new client, which gets the newest `count` events and all
        kept ones.
        """
        first = self.newest(count)[:1]
        start = first[0].prev if first else self.top
        oldest = None if self.kept is None else self.kept.oldest()
        if oldest is not None and position(oldest.id) <= position(start):
            return oldest.prev, LeadIn(start, self.top)
        if start == self.top or (self.kept is None and not self._quiet):
            return start, None
        return start, LeadIn(start, self.top)

    def normalized(self, cursor: str) -> str:
        """`cursor`, or `NOWHERE` if it does not have the form of one."""
        return normalized(cursor)

    def known(self, cursor: str) -> str:
        """`cursor`, or `NOWHERE` if it is not a place in the log."""
        if cursor in (self.top, self.floor):
            return cursor
        index = self._index(cursor)
        found = index > self._start and self._events[index - 1].id == cursor
        return cursor if found else NOWHERE

    def part(self, cursor: str, channel: str) -> str:
        """The part of `cursor` that is a place in `channel`."""
        return cursor

    @staticmethod
    def earlier(one: str, other: str) -> str:
        """The earlier of two cursors."""
        return min(one, other, key=position)

    @staticmethod
    def later(one: str, other: str) -> str:
        """The later of two cursors."""
        return max(one, other, key=position)

    def before(self, time: float) -> str:
        """The newest cursor that precedes all events published after `time`; `NOWHERE` if some of
        these events were dropped.
        """
        if self._dropped > time:
            return NOWHERE
        index = bisect_right(self._times, time, lo=self._start)
        return self._events[index].prev if index < len(self._events) else self.top

    def oldest_time(self, but: float) -> float | None:
        """The time of the oldest event, if there are more than `but` events."""
        return self._times[self._start] if self.length > but else None

    def since(
        self, cursor: str, lead: LeadIn | None = None, quiet: bool = False
    ) -> tuple[Entry, ...]:
        """The events after `cursor`; see rule 4. Those of `lead` come first. Other quiet events are
        left out, unless `quiet`.
        """
        if cursor == self.top:
            return ()
        if lead is not None and position(self.floor) <= position(self.later(cursor, lead.start)):
            return self._with_lead(cursor, lead, quiet)
        events = self._after(cursor)
        return events if quiet or not self._quiet else loud(events)

    def again(self) -> tuple[Entry, ...]:
        """The end of an ended log once more, for a client that already has it."""
        return (Entry(END, self.top, self.top, channel=self.channel),)

    def _after(self, cursor: str) -> tuple[Entry, ...]:
        index = self._start
        if self.length and self._events[-1].prev == cursor:
            # Most readers lack only the newest event.
            return (self._events[-1],)
        if cursor != self.floor:
            index = self._index(cursor)
            if index == self._start or self._events[index - 1].id != cursor:
                return (*self._loss(cursor), *self._events[self._start :])
        return tuple(self._events[index:])

    def _loss(self, cursor: str) -> tuple[Entry, ...]:
        """A gap after `cursor`, and the last events of keys that would be lost in it."""
        lost = None if self.kept is None else self.kept.loss(cursor, self.floor, self.channel)
        return lost or (Entry.loss(cursor, self.floor, self.channel),)

    def _with_lead(self, cursor: str, lead: LeadIn, quiet: bool) -> tuple[Entry, ...]:
        """The events after `cursor` for a reader that is still in `lead`, while the log has all
        events from `lead.start` or `cursor` on.
        """
        first = self._index(self.later(cursor, lead.start))
        end = self._index(lead.end) if lead.end else first
        new, rest = self._events[first:end], self._events[max(first, end) :]
        if self.kept is not None:
            new = self.kept.lead_in(cursor, lead, new)
        return (*new, *(rest if quiet or not self._quiet else loud(rest)))

    def lead_after(self, lead: LeadIn | None, events: Sequence[Entry]) -> LeadIn | None:
        """The lead-in of a reader after `events`: that of a gap among them, or `lead`, or None if
        the reader has passed it.
        """
        for event in events:
            if event.gap:
                lead = event.lead if isinstance(event, KeptLoss) else None
        if lead is None or not events:
            return lead
        over = position(events[-1].id) >= position(lead.end or lead.start)
        return None if over else lead

    def _index(self, cursor: str) -> int:
        """The index of the first event after `cursor`."""
        self._add_positions()
        return bisect_right(self._positions, position(cursor), lo=self._start)

    def _add_positions(self) -> None:
        events, positions = self._events, self._positions
        for index in range(len(positions), len(events)):
            positions.append(position(events[index].id))

    # -- adding

    def append(self, event: Entry, time: float = 0.0) -> None:
        """Add the newest event, published at `time`. Raises `ValueError` if it does not follow
        `top`.
        """
        if event.prev != self.top:
            raise ValueError(f"event {event.id} follows {event.prev}, not {self.top}")
        times = self._times
        self._events.append(event)
        times.append(time if not times or time > times[-1] else times[-1])
        self.length += 1
        self.size += event.size
        self._quiet += event.quiet
        self.top = event.id
        self.ended = event.json == END
        if event.key is not None:
            self._keyed().publish(event.key, event)

    def _keyed(self) -> Kept:
        if self.kept is None:
            self.kept = Kept()
        return self.kept

    def prepend(self, events: Sequence[Entry]) -> None:
        """Add events before the oldest one; they get its time. Raises `ValueError` if they do not
        end where the log begins.
        """
        if not events:
            return
        if events[-1].id != self.floor:
            raise ValueError(f"event {events[-1].id} does not end at {self.floor}")
        time = self._times[self._start] if self.length else 0.0
        self._add_positions()
        del self._events[: self._start], self._positions[: self._start], self._times[: self._start]
        self._start = 0
        self._events[:0] = events
        self._positions[:0] = [position(event.id) for event in events]
        self._times[:0] = [time] * len(events)
        self.length += len(events)
        self.size += sum(event.size for event in events)
        self._quiet += sum(event.quiet for event in events)
        if self.kept is not None:
            self.kept.put_back(events)

    def restart(
        self, top: str, events: Sequence[Entry], time: float, kept: Sequence[Entry] = ()
    ) -> None:
        """Replace the log with `events`, which end at `top`, and with `kept`: older events, each
        the last of its key. If `events` continue the present events, these stay. Raises
        `ValueError`, before any change, if `events` do not follow each other or do not end at
        `top`.
        """
        for index, event in enumerate(events):
            if index and event.prev != events[index - 1].id:
                raise ValueError(f"event {event.id} does not follow {events[index - 1].id}")
        if events and events[-1].id != top:
            raise ValueError(f"the events end at {events[-1].id}, not at {top}")
        prevs = [event.prev for event in events]
        goes_on = self.top == top or self.top in prevs
        if len(self) and goes_on and self.floor not in prevs:
            # Readers that lag behind still need the present events.
            for event in events[prevs.index(self.top) :] if self.top in prevs else ():
                self.append(event, time)
            return
        self.clear()
        self.ended = self.ended and self.top == top
        self.top = events[0].prev if events else top
        if kept:
            self._keyed().load(kept)
        for event in events:
            self.append(event, time)

    # -- dropping

    def trim(
        self,
        backlog_length: float,
        buffer_length: float,
        buffer_size: float,
        since: float = float("inf"),
        behind: str | None = None,
    ) -> None:
        """Drop the events that need not be kept; see rule 3.

        Args:
            backlog_length: the number of newest events to keep whatever their age.
            buffer_length: the maximum number of events.
            buffer_size: the maximum number of bytes.
            since: a time; events from then on are kept.
            behind: a cursor; the events after it are kept.
        """
        self.shrink(buffer_length, buffer_size)
        if self.length <= backlog_length or self._times[self._start] >= since:
            return
        # The first event that must stay: it is recent, or a client that lags behind needs it.
        first = bisect_left(self._times, since, lo=self._start)
        if behind is not None:
            first = min(first, self._index(behind))
        while self.length > backlog_length and self._start < first:
            self._drop_oldest()
        self._compact()

    def shrink(self, buffer_length: float, buffer_size: float) -> None:
        """Drop the oldest events beyond these limits, whatever their age."""
        size = self.size if self.kept is None else self.held
        if self.length > buffer_length or size > buffer_size:
            while self.length and (self.length > buffer_length or self.held > buffer_size):
                self._drop_oldest()
                self.shrink_kept(float("inf"), buffer_size / 2)
            self._compact()

    def _drop_oldest(self) -> None:
        start = self._start
        event = self._events[start]
        self._dropped = self._times[start]
        self.size -= event.size
        self._quiet -= event.quiet
        if event.key is not None:
            self._keyed().drop(event.key, event)
        self._events[start] = _DROPPED
        self._start += 1
        self.length -= 1

    def _compact(self) -> None:
        if self._start * 2 > len(self._events):
            for held in (self._events, self._positions, self._times):
                del held[: self._start]
            self._start = 0

    def expire(self, before: int) -> None:
        """Drop the events published before `before`, in milliseconds since the epoch."""
        self._add_positions()
        self._drop_to(bisect_left(self._positions, (before, 0), lo=self._start))
        if self.kept is not None:
            self.kept.expire(before)

    def clear(self) -> None:
        """Drop all events. `top` stays, so a client with an older cursor gets a gap."""
        self._drop_to(len(self._events))
        self.kept = None

    def shrink_kept(self, keys: float, size: float) -> None:
        """Evict the oldest keys beyond these limits; see `Kept.shrink`."""
        if self.kept is not None:
            self.kept.shrink(keys, size)

    def _drop_to(self, index: int) -> None:
        """Drop all events before `index`."""
        while self._start < index:
            self._drop_oldest()
        self._compact()

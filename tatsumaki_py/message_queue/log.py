"""The log of a channel: its events, oldest first, and how long they are kept.

Rules:
1. Each event's `prev` is the id of the one before it, that of the first is where the log starts;
   `top` is the id of the newest there ever was.
2. Reading removes nothing. Only `trim` and `expire` remove, always from the oldest.
3. `trim` keeps the newest `backlog_length` events and whatever lies after a pin (the cursor of
   somebody who is still to read on), but never more than `buffer_length` events or `buffer_size`
   bytes. Who lost some is still to read the rest: `_lost` counts the pins before the oldest event.
4. Who asks for more than there is gets a gap first. Nothing here knows a clock or a client.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter

from tatsumaki_py.message_queue.event import Entry, loud
from tatsumaki_py.message_queue.ids import NOWHERE, normalized, position

__all__ = ["EventLog"]

_DROPPED = Entry(b"{}", NOWHERE)


class EventLog:
    """A bounded, ordered log of `Entry`.

    >>> log = EventLog(start="0-1")
    >>> for id in ("1-0", "2-0", "3-0"):
    ...     log.append(Entry(b"{}", id, log.top))
    >>> [event.id for event in log.since("1-0")]
    ['2-0', '3-0']
    >>> log.trim(backlog_length=1, buffer_length=10, buffer_size=1000)
    >>> [(event.gap, event.id) for event in log.since("1-0")]
    [(True, '2-0'), (False, '3-0')]
    """

    __slots__ = (
        "_events",
        "_floor",
        "_lost",
        "_pins",
        "_positions",
        "_quiet",
        "_start",
        "channel",
        "size",
        "top",
    )

    def __init__(self, channel: str = "", *, start: str) -> None:
        self.channel = channel
        self.top = start
        self.size = 0
        """Bytes held."""
        self._events: list[Entry] = []
        self._positions: list[tuple[int, int]] = []
        # Both lists begin at `_start`; what lies before is removed now and then, all at once.
        self._start = 0
        self._floor = position(start)
        self._pins: Counter[str] = Counter()
        self._lost = 0
        self._quiet = 0

    def __len__(self) -> int:
        return len(self._events) - self._start

    @property
    def floor(self) -> str:
        """The oldest cursor that loses nothing."""
        return self._events[self._start].prev if len(self) else self.top

    def append(self, event: Entry) -> None:
        """Add the newest event. Raises `ValueError` if it does not follow `top`."""
        if event.prev != self.top:
            raise ValueError(f"event {event.id} follows {event.prev}, not {self.top}")
        self._events.append(event)
        self._positions.append(position(event.id))
        self.size += event.size
        self._quiet += event.quiet
        self.top = event.id

    def newest(self, count: float) -> tuple[Entry, ...]:
        """The newest `count` events, oldest first."""
        # A setting may be any number, also one without end.
        return tuple(self._events[int(max(self._start, len(self._events) - count)) :])

    def normalized(self, cursor: str) -> str:
        """`cursor`, or `NOWHERE` if it cannot be one."""
        return normalized(cursor)

    def known(self, cursor: str) -> str:
        """`cursor`, or `NOWHERE` if what follows it is lost."""
        if cursor in (self.top, self.floor):
            return cursor
        index = bisect_right(self._positions, position(cursor), lo=self._start)
        found = index > self._start and self._events[index - 1].id == cursor
        return cursor if found else NOWHERE

    @staticmethod
    def earlier(one: str, other: str) -> str:
        """The one of two cursors after which more comes."""
        return min(one, other, key=position)

    @staticmethod
    def later(one: str, other: str) -> str:
        """The one of two cursors after which less comes."""
        return max(one, other, key=position)

    def since(self, cursor: str, quiet: bool = False) -> tuple[Entry, ...]:
        """The events after `cursor`; a gap first if `cursor` is not known (any more). Quiet ones
        are among them if `quiet`.
        """
        if cursor == self.top:
            return ()
        events = self._after(cursor)
        return events if quiet or not self._quiet else loud(events)

    def _after(self, cursor: str) -> tuple[Entry, ...]:
        index = self._start
        if cursor != self.floor:
            index = bisect_right(self._positions, position(cursor), lo=self._start)
            if index == self._start or self._events[index - 1].id != cursor:
                return (Entry.loss(cursor, self.floor, self.channel), *self._events[self._start :])
        return tuple(self._events[index:])

    def pin(self, cursor: str) -> None:
        """Somebody is still to read what comes after `cursor`."""
        if cursor != self.top and position(cursor) < self._floor:
            self._lost += 1
        else:
            self._pins[cursor] += 1

    def unpin(self, cursor: str) -> None:
        """Take one `pin` back."""
        if self._pins[cursor] > 1:
            self._pins[cursor] -= 1
        elif cursor in self._pins:
            del self._pins[cursor]
        else:
            self._lost -= 1

    def trim(self, backlog_length: int, buffer_length: int, buffer_size: int) -> None:
        """Drop what nobody may ask for; see rule 3."""
        while self and (len(self) > backlog_length or self.size > buffer_size):
            within_bounds = len(self) <= buffer_length and self.size <= buffer_size
            if within_bounds and (self._lost or self._events[self._start].prev in self._pins):
                return
            self._drop()

    def expire(self, before: int) -> None:
        """Drop the events older than `before` milliseconds since the epoch."""
        while self and self._positions[self._start][0] < before:
            self._drop()

    def clear(self) -> None:
        """Drop all events. `top` stays, so that who comes back is told of the loss."""
        while self:
            self._drop()

    def _drop(self) -> None:
        event = self._events[self._start]
        self.size -= event.size
        self._quiet -= event.quiet
        self._floor = self._positions[self._start]
        self._lost += self._pins.pop(event.prev, 0)
        self._events[self._start] = _DROPPED
        self._start += 1
        if self._start * 2 > len(self._events):
            del self._events[: self._start], self._positions[: self._start]
            self._start = 0

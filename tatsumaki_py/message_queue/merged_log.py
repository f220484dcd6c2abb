"""The logs of several channels, read as one.

Rules:
1. A merged log is only a view. Its cursor consists of the cursors in all logs, in the order of
   their names, joined by commas; none is left out.
2. Events come in the order of their ids, which keeps the order of each channel. The `id` of each is
   the cursor after it, so a reader may stop at any event without losing events of any channel.
3. One read gives no more than fits into one answer, because the channels together may hold many
   events. The bytes of the entries made here are counted, because their ids grow with the number of
   channels.
4. Clients that read from the same place get the same entries, so that each entry is framed once.
   For this, the entries of recent reads are kept, up to `RECENT_READS` bytes for all merged logs.
"""

from __future__ import annotations

import heapq
import json
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

from tatsumaki_py.message_queue.event import Entry
from tatsumaki_py.message_queue.ids import NOWHERE, normalized, position
from tatsumaki_py.message_queue.lead import LeadIn, joined, parts_of
from tatsumaki_py.message_queue.log import EventLog
from tatsumaki_py.message_queue.recent import Recent

__all__ = ["RECENT_READS", "MergedEntry", "MergedLog"]

_READ = 1024 * 1024
"""Bytes of entries after which reading stops."""
RECENT_READS = 4 * 1024 * 1024
"""Maximum bytes of the recently read entries that all merged logs keep together."""
_REMEMBERED = 4
"""The number of recent places for which the events that were read are kept until the logs change.
Few, because most clients are at the same place.
"""


class _Merged(Entry):
    """An entry among those of other channels: its id is a cursor in all the channels."""

    __slots__ = ("_name",)

    def __init__(
        self, json_bytes: bytes, entry: Entry, id: str, prev: str, log: tuple[str, ...], name: bytes
    ) -> None:
        super().__init__(
            json_bytes,
            id,
            prev,
            channel=entry.channel,
            gap=entry.gap,
            quiet=entry.quiet,
            key=entry.key,
        )
        self.time = entry.time
        self.log = log
        self._name = name


class MergedEntry(_Merged):
    """An event among those of other channels: its JSON names its channel."""

    __slots__ = ("_entry",)

    def __init__(
        self, entry: Entry, id: str, prev: str, *, log: tuple[str, ...], name: bytes
    ) -> None:
        super().__init__(entry.json, entry, id, prev, log, name)
        self._entry = entry

    @property
    def payload(self) -> bytes:
        """See `Entry.payload`."""
        return b'{"channel":%b,"data":%b}' % (self._name, self.json)

    @property
    def envelope(self) -> bytes:
        """See `Entry.envelope`."""
        return b'{"id":"%b","channel":%b,"data":%b}' % (self.id.encode(), self._name, self.json)

    def data(self) -> Any:
        # The event is read-only, so it may be shared.
        return self._entry.event()


class _MergedLoss(_Merged):
    """A gap in one of the channels."""

    __slots__ = ("entry_of_channel",)

    def __init__(
        self, entry: Entry, id: str, prev: str, *, log: tuple[str, ...], name: bytes
    ) -> None:
        text = b'{"type":"gap","after":"%b","id":"%b","channel":%b}'
        super().__init__(text % (prev.encode(), id.encode(), name), entry, id, prev, log, name)
        self.entry_of_channel = entry


_Place = tuple[str, LeadIn | None, bool]
"""A cursor, the lead-in, and whether quiet events after the cursor are wanted."""


class MergedLog:
    """A view of several `EventLog` objects, which must be given in the order of their channels'
    names.

    >>> a, b = EventLog("a", start="0-1"), EventLog("b", start="0-1")
    >>> for log, id in ((a, "1-0"), (b, "2-0"), (a, "3-0")):
    ...     log.append(Entry(b"{}", id, log.top, channel=log.channel))
    >>> [(event.channel, event.id) for event in MergedLog([a, b]).since("1-0,0-1")]
    [('b', '1-0,2-0'), ('a', '3-0,2-0')]
    """

    __slots__ = ("__weakref__", "_bounds", "_logs", "_names", "_read", "channels")

    def __init__(self, logs: Sequence[EventLog]) -> None:
        self.channels = tuple(log.channel for log in logs)
        self._logs = tuple(logs)
        # The names as JSON.
        self._names = [json.dumps(channel).encode() for channel in self.channels]
        self._bounds: list[tuple[str, str, int]] = []
        self._read: dict[_Place, tuple[Entry, ...]] = {}
        """The events that were read from each recent place, while the logs have `_bounds`."""

    @property
    def top(self) -> str:
        """The newest cursor."""
        return ",".join([log.top for log in self._logs])

    @property
    def ended(self) -> bool:
        """Whether the newest event of each channel is its end."""
        return all(log.ended for log in self._logs)

    def again(self) -> tuple[Entry, ...]:
        """The ends of logs that have ended, for a client that has them already."""
        top, log, entries = self.top, self.channels, []
        for one, name in zip(self._logs, self._names, strict=True):
            (end,) = one.again()
            entries.append(MergedEntry(end, top, top, log=log, name=name))
        return tuple(entries)

    def normalized(self, cursor: str) -> str:
        """`cursor` with `NOWHERE` in place of each part that does not have the form of an id."""
        parts = cursor.split(",", len(self._logs))
        if len(parts) != len(self._logs):
            parts = [NOWHERE] * len(self._logs)
        return ",".join(map(normalized, parts))

    def known(self, cursor: str) -> str:
        """`cursor` with `NOWHERE` in place of each part after which events are lost."""
        parts = zip(self._logs, cursor.split(","), strict=True)
        return ",".join([log.known(part) for log, part in parts])

    def part(self, cursor: str, channel: str) -> str:
        """The part of `cursor` that is a place in `channel`."""
        return cursor.split(",")[self.channels.index(channel)]

    @staticmethod
    def earlier(one: str, other: str) -> str:
        """The earlier of two cursors, in each log."""
        return ",".join(map(EventLog.earlier, one.split(","), other.split(",")))

    @staticmethod
    def later(one: str, other: str) -> str:
        """The later of two cursors, in each log."""
        return ",".join(map(EventLog.later, one.split(","), other.split(",")))

    def since(
        self, cursor: str, lead: LeadIn | None = None, quiet: bool = False
    ) -> tuple[Entry, ...]:
        """The events after `cursor`, up to 1 MiB of them, with a gap for each channel whose part of
        `cursor` is unknown. Those of `lead` come first. Other quiet events are left out, unless
        `quiet`.
        """
        if cursor == self.top:
            return ()
        bounds = [(log.floor, log.top, log.held) for log in self._logs]
        if bounds != self._bounds:
            self._bounds = bounds
            self._read.clear()
        place = cursor, lead, quiet
        events = self._read.get(place)
        if events is None:
            if len(self._read) == _REMEMBERED:
                del self._read[next(iter(self._read))]
            events, size = self._merge(*place)
            self._remember(place, events, size)
        return events

    def _remember(self, place: _Place, events: tuple[Entry, ...], size: int) -> None:
        self._read[place] = events
        for reference, dropped in _reads.add((weakref.ref(self), place), size):
            log = reference()
            if log is not None:
                log._read.pop(dropped, None)

    def lead_after(self, lead: LeadIn | None, events: Sequence[Entry]) -> LeadIn | None:
        """The part of `lead` that is left after `events`, of which one may be a gap."""
        if not events:
            return lead
        leads, ends = parts_of(lead, len(self._logs)), events[-1].id.split(",")
        for index, (log, end) in enumerate(zip(self._logs, ends, strict=True)):
            gaps = [each for each in events if each.gap and each.channel == log.channel]
            last: Entry = Entry(b"", end)
            if gaps and isinstance(gaps[-1], _MergedLoss):
                leads[index] = log.lead_after(leads[index], [gaps[-1].entry_of_channel, last])
            else:
                leads[index] = log.lead_after(leads[index], [last])
        return joined(leads)

    def _merge(
        self, cursor: str, lead: LeadIn | None, quiet: bool
    ) -> tuple[tuple[Entry, ...], int]:
        """The events after `cursor`, and the bytes that they take."""
        parts, leads = cursor.split(","), parts_of(lead, len(self._logs))
        merged: list[Entry] = []
        prev, size = cursor, 0
        for _, index, event in heapq.merge(
            *(
                self._after(part, leads[index], index, quiet)
                for index, part in enumerate(cursor.split(","))
            )
        ):
            parts[index] = event.id
            id = ",".join(parts)
            make = _MergedLoss if event.gap else MergedEntry
            merged.append(make(event, id, prev, log=self.channels, name=self._names[index]))
            prev, size = id, size + event.size + len(id)
            if size > _READ:
                break
        return tuple(merged), size

    def _after(
        self, part: str, lead: LeadIn | None, index: int, quiet: bool
    ) -> Iterator[tuple[tuple[int, int], int, Entry]]:
        # No two events of one channel have the same position, so entries are never compared.
        for event in self._logs[index].since(part, lead, quiet):
            yield position(event.id), index, event


_reads = Recent[tuple[weakref.ref[MergedLog], _Place]](RECENT_READS)

"""The formats of packed events, pub/sub messages and stream entries.

Rules:
1. Packed events are ``<lengths> <bodies>``. The lengths are in bytes, and joined by commas. Each is
   followed by "q" if the event is quiet, and then, if it has a key, by "k" and the length of the
   key. There are no separators between the bodies. The key of an event comes before its body.
2. A message is ``<prev> <first> <packed events>``: the newest id before the events, and the id of
   the first event. The sequence number of each further event is one greater.
3. An entry of a stream has one field: ``<prev> <total> <q or nothing> <body>``, where `total` is
   the bytes of all earlier events of the channel. An event with a key has a second field, the key.
4. Versions before 0.2 do not support keys. They cannot read the "k" of rule 1 and the second field
   of rule 3, and log an error; they do not mistake the event for another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from tatsumaki_py.message_queue.event import OVERHEAD, Entry
from tatsumaki_py.message_queue.settings import ChannelSettings

__all__ = [
    "DEFAULTS",
    "PLAIN",
    "USE",
    "Mark",
    "Message",
    "entries_of",
    "following",
    "ids_from",
    "key_bytes",
    "key_of",
    "made",
    "marked",
    "pack",
    "size_of",
    "stored_settings",
    "unbroken",
]

SLACK = 5.0
"""How many seconds longer Redis keeps events than a process does."""
USE = 100.0
"""Additional seconds for which an idle channel is kept, because a process renews it only every
`check_interval`.
"""
MOST = 1 << 50
"""Infinity, in the settings for scripts."""


class Mark(NamedTuple):
    """What an event has in addition to its body: `Entry.quiet` and `Entry.key`."""

    quiet: bool = False
    key: str | None = None


PLAIN = Mark()


def marked(key: str | None, quiet: bool = False) -> Mark:
    """The mark of an event; `PLAIN` if the event has neither."""
    return Mark(quiet, key) if quiet or key is not None else PLAIN


def key_bytes(key: str) -> bytes:
    """A key as it is stored in Redis."""
    return key.encode("utf-8", "surrogatepass")


def key_of(data: bytes) -> str:
    """The inverse of `key_bytes`."""
    return data.decode("utf-8", "surrogatepass")


def pack(bodies: Sequence[bytes], marks: Sequence[Mark]) -> bytes:
    """Pack events; see rule 1.

    >>> pack([b'{}', b'"a"', b"1"], [PLAIN, Mark(quiet=True), Mark(key="EUR")])
    b'2,3q,1k3 {}"a"EUR1'
    """
    if len(bodies) == 1 and marks[0] is PLAIN:
        return b"%d %b" % (len(bodies[0]), bodies[0])
    lengths, parts = [], []
    for body, (quiet, key) in zip(bodies, marks, strict=True):
        length = b"%dq" % len(body) if quiet else b"%d" % len(body)
        if key is not None:
            name = key_bytes(key)
            length += b"k%d" % len(name)
            parts.append(name)
        lengths.append(length)
        parts.append(body)
    return b"%b %b" % (b",".join(lengths), b"".join(parts))


def size_of(bodies: Sequence[bytes]) -> int:
    """The bytes that the events take, as `Entry.size` counts them."""
    return sum(map(len, bodies)) + OVERHEAD * len(bodies)


def ids_from(first: str, count: int) -> list[str]:
    """The ids of `count` events that were accepted together.

    >>> ids_from("17-8", 3)
    ['17-8', '17-9', '17-10']
    """
    if count == 1:
        return [first]
    milliseconds, _, number = first.partition("-")
    start = int(number)
    return [f"{milliseconds}-{n}" for n in range(start, start + count)]


def made(
    channel: str, prev: str, ids: Sequence[str], bodies: Sequence[bytes], marks: Sequence[Mark]
) -> list[Entry]:
    """The entries of events that were accepted together, after `prev`."""
    entries = []
    for id, body, (quiet, key) in zip(ids, bodies, marks, strict=True):
        entries.append(Entry(body, id, prev, channel=channel, quiet=quiet, key=key))
        prev = id
    return entries


class Message:
    """A pub/sub message, of which only the head is parsed at first."""

    __slots__ = ("_head", "_rest", "first", "last", "prev")

    def __init__(self, data: bytes) -> None:
        prev, first, self._head, self._rest = data.split(b" ", 3)
        self.prev = prev.decode()
        self.first = self.last = first.decode()
        count = self._head.count(b",")
        if count:
            milliseconds, _, number = self.first.partition("-")
            self.last = f"{milliseconds}-{int(number) + count}"

    def entries(self, channel: str) -> list[Entry]:
        """The events of the message."""
        head, rest = self._head, self._rest
        if head.isdigit():
            return [Entry(rest, self.first, self.prev, channel=channel)]
        bodies, marks, start = [], [], 0
        for length in head.split(b","):
            size, _, name = length.partition(b"k")
            body = start + int(name or 0)
            key = key_of(rest[start:body]) if name else None
            start = body + int(size.rstrip(b"q"))
            bodies.append(rest[body:start])
            marks.append(Mark(size.endswith(b"q"), key))
        return made(channel, self.prev, ids_from(self.first, len(bodies)), bodies, marks)


def entries_of(channel: str, rows: Sequence[Any]) -> list[Entry]:
    """The events of a reply to XRANGE."""
    entries = []
    for id, (_, value, *rest) in rows:
        prev, _, soft, body = value.split(b" ", 3)
        key = key_of(rest[1]) if rest else None
        quiet = soft == b"q"
        entries.append(
            Entry(body, id.decode(), prev.decode(), channel=channel, quiet=quiet, key=key)
        )
    return entries


def following(events: Sequence[Entry], cursor: str) -> list[Entry]:
    """The events after `cursor`, which is the place of one of them."""
    for index, event in enumerate(events):
        if event.prev == cursor:
            return list(events[index:])
    return []


def unbroken(events: Sequence[Entry]) -> list[Entry]:
    """The longest series at the end of `events` in which each event follows the one before."""
    start = len(events) - 1
    while start > 0 and events[start].prev == events[start - 1].id:
        start -= 1
    return list(events[max(start, 0) :])


def stored_settings(settings: ChannelSettings) -> str:
    """The settings for scripts: "-" for the defaults, else numbers separated by spaces:
    `backlog_length`, `buffer_length`, `buffer_size`; in milliseconds, how long events are kept
    beyond the backlog, `time_to_live`, `idle_timeout` and `idempotency_time`; `idempotency_keys`,
    `kept_keys`.
    """
    kept = _numbers(settings)
    return "-" if kept == DEFAULTS else kept


def _numbers(settings: ChannelSettings) -> str:
    kept = max(settings.reconnect_time, settings.recovery_time)
    lives = settings.time_to_live
    numbers = (
        settings.backlog_length,
        settings.buffer_length,
        settings.buffer_size,
        1000 * (kept + SLACK) if kept else 0,
        MOST if lives is None else 1000 * lives,
        1000 * (settings.idle_timeout + USE),
        1000 * settings.idempotency_time,
        settings.idempotency_keys,
        settings.kept_keys,
    )
    return " ".join([str(int(min(number, MOST))) for number in numbers])


DEFAULTS = _numbers(ChannelSettings())

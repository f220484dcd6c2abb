"""Queries. Each sees one consistent state of the file.

Rule: queries do not write, so any connection can be used.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeVar

from tatsumaki_py.message_queue.engine import Feed
from tatsumaki_py.message_queue.engine.sqlite.rows import places_key, restored, stored, whole
from tatsumaki_py.message_queue.event import Entry
from tatsumaki_py.message_queue.ids import NOWHERE, position

__all__ = ["Budget", "Loaded", "between", "crash_place", "newest", "place", "top"]

T = TypeVar("T")

_NEWEST = (
    "SELECT ms, seq, quiet, body, key FROM events WHERE channel = ? "
    "ORDER BY ms DESC, seq DESC LIMIT ?"
)
_BEFORE = (
    "SELECT ms, seq FROM events WHERE channel = ? AND (ms, seq) < (?, ?) "
    "ORDER BY ms DESC, seq DESC LIMIT 1"
)
_BETWEEN = (
    "SELECT ms, seq, quiet, body, key FROM events WHERE channel = ? AND (ms, seq) > (?, ?) "
    "AND (ms, seq) <= (?, ?) ORDER BY ms, seq LIMIT ?"
)
_LASTS = (
    "SELECT ms, seq, quiet, body, key, prev FROM lasts WHERE channel = ? AND (ms, seq) <= (?, ?) "
    "AND ms >= ? ORDER BY ms, seq"
)
_NTH_BEFORE = (
    "SELECT ms, seq FROM events WHERE channel = ? AND time <= ? "
    "ORDER BY ms DESC, seq DESC LIMIT 1 OFFSET ?"
)


class Budget(NamedTuple):
    """The limits of one read."""

    events: int
    bytes: int


NO_BUDGET = Budget(1 << 62, 1 << 62)


class Loaded(NamedTuple):
    """The newest events of a channel, and older events, each the last of its key."""

    top: str
    events: list[Entry]
    kept: list[Entry]


class _Channel(NamedTuple):
    """A channel: its number, the place before its oldest event, its newest id, and the place of the
    client that was furthest behind.
    """

    id: int
    first: str
    top: str
    behind: str


def _in_one_state(file: sqlite3.Connection, read: Callable[[], T]) -> T:
    file.execute("BEGIN")
    try:
        return read()
    finally:
        file.rollback()


def newest(file: sqlite3.Connection, *, feed: Feed, budget: Budget | None) -> Loaded | None:
    """The events to load for a channel: those that a new client gets, those that its clients lack,
    and the last event of each key if it is older than these. None if they exceed `budget`.
    """
    return _in_one_state(file, lambda: _newest(file, feed, budget or NO_BUDGET))


def _newest(file: sqlite3.Connection, feed: Feed, budget: Budget) -> Loaded | None:
    channel, here = _channel(file, feed.name), feed.top
    loaded = _backlog(file, feed, channel, budget)
    if loaded is None or here in (NOWHERE, loaded.top) or here in [e.prev for e in loaded.events]:
        return loaded
    lacking = _between(file, feed, here, loaded.top, whole(feed.settings.buffer_length))
    more = lacking is not None and len(lacking) > len(loaded.events)
    if lacking is None or not more:
        return loaded
    return Loaded(loaded.top, lacking, _lasts(file, feed, channel, here))


def _backlog(
    file: sqlite3.Connection, feed: Feed, channel: _Channel, left: Budget
) -> Loaded | None:
    since = _since_ms(feed)
    rows = []
    for row in file.execute(_NEWEST, (channel.id, whole(feed.settings.backlog_length))):
        if row[0] < since:
            break
        left = Budget(left.events - 1, left.bytes - len(row[3]))
        if left.events < 0 or left.bytes < 0:
            return None
        rows.append(row)
    first = channel.top
    if rows:
        before = file.execute(_BEFORE, (channel.id, *rows[-1][:2])).fetchone()
        first = channel.first if before is None else _id(*before)
    kept = _lasts(file, feed, channel, first)
    if len(kept) > left.events or sum(len(event.json) for event in kept) > left.bytes:
        return None
    return Loaded(channel.top, _entries(feed.name, first, reversed(rows)), kept)


def _lasts(file: sqlite3.Connection, feed: Feed, channel: _Channel, up_to: str) -> list[Entry]:
    """The last event of each key, unless its id is after `up_to`."""
    found = file.execute(_LASTS, (channel.id, *position(up_to), _since_ms(feed))).fetchall()
    return [
        Entry(
            body,
            _id(ms, seq),
            prev,
            channel=feed.name,
            quiet=bool(quiet),
            key=restored(key),
        )
        for ms, seq, quiet, body, key, prev in found
    ]


def _since_ms(feed: Feed) -> float:
    """The time, in milliseconds since the epoch, before which events of the channel are dropped."""
    time_to_live = feed.settings.time_to_live
    return 0 if time_to_live is None else (time.time() - time_to_live) * 1000


def top(file: sqlite3.Connection, *, name: str) -> str:
    """The newest id of a channel."""
    return _in_one_state(file, lambda: _channel(file, name).top)


def between(
    file: sqlite3.Connection, *, feed: Feed, cursor: str, end: str, limit: int
) -> list[Entry] | None:
    """The events after `cursor` up to the id `end`. None if some are lost or too old, or if there
    are more than `limit`.
    """
    return _in_one_state(file, lambda: _between(file, feed, cursor, end, limit))


def _between(
    file: sqlite3.Connection, feed: Feed, cursor: str, end: str, limit: int
) -> list[Entry] | None:
    channel = _channel(file, feed.name)
    begin = position(cursor)
    if max(begin) >= 1 << 63:
        return None
    known = "SELECT 1 FROM events WHERE channel = ? AND ms = ? AND seq = ?"
    if cursor != channel.first and not file.execute(known, (channel.id, *begin)).fetchone():
        return None
    rows = file.execute(_BETWEEN, (channel.id, *begin, *position(end), limit + 1)).fetchall()
    if not rows or len(rows) > limit or _id(*rows[-1][:2]) != end or rows[0][0] < _since_ms(feed):
        return None
    return _entries(feed.name, cursor, rows)


def place(
    file: sqlite3.Connection, *, channels: tuple[str, ...], client_id: str
) -> tuple[str, float, float] | None:
    """The cursor of a named client, when it was remembered, and for how many seconds."""
    query = "SELECT cursor, time, seconds FROM places WHERE channels = ? AND client = ?"
    found: tuple[str, float, float] | None = file.execute(
        query, (places_key(channels), stored(client_id))
    ).fetchone()
    return found


def crash_place(
    file: sqlite3.Connection, *, name: str, killed: float, recovery_time: float, backlog: float
) -> tuple[str, bool]:
    """The place where a client resumes if it may have been listening at the time `killed`, when the
    process was killed; and whether the client gets more events than a new client does. The client
    gets the backlog of that time, the events of the last `recovery_time` seconds before that time,
    those that a slow client had not received yet, and all later ones. If the file no longer has
    some of these, it does not have the place either, and the client gets a gap.
    """
    return _in_one_state(
        file, lambda: _crash_place(file, name, killed, recovery_time, whole(backlog))
    )


def _crash_place(
    file: sqlite3.Connection, name: str, killed: float, recovery_time: float, backlog: int
) -> tuple[str, bool]:
    channel = _channel(file, name)

    def nth_before(time: float, n: int) -> str:
        found = file.execute(_NTH_BEFORE, (channel.id, time, n)).fetchone()
        return channel.first if found is None else _id(*found)

    places = nth_before(killed, backlog), nth_before(killed - recovery_time, 0), channel.behind
    place = min(places, key=position)
    # The last events of some keys may be older: begin before these, so that the client gets them.
    query = "SELECT prev FROM lasts WHERE channel = ? AND (ms, seq) <= (?, ?) ORDER BY ms, seq"
    older = file.execute(query, (channel.id, *position(place))).fetchone()
    if older is not None and place != nth_before(float("inf"), backlog):
        return older[0], True
    return place, place != nth_before(float("inf"), backlog)


def _channel(file: sqlite3.Connection, name: str) -> _Channel:
    query = "SELECT id, first, top, behind FROM channels WHERE name = ?"
    found = file.execute(query, (stored(name),)).fetchone()
    if found is None:
        (start,) = file.execute("SELECT start FROM life").fetchone()
        return _Channel(0, start, start, start)
    return _Channel(*found)


def _id(ms: int, seq: int) -> str:
    return f"{ms}-{seq}"


def _entries(name: str, prev: str, rows: Iterable[tuple[int, int, int, bytes, Any]]) -> list[Entry]:
    events = []
    for ms, seq, quiet, body, stored_key in rows:
        id = _id(ms, seq)
        key = None if stored_key is None else restored(stored_key)
        events.append(Entry(body, id, prev, channel=name, quiet=bool(quiet), key=key))
        prev = id
    return events

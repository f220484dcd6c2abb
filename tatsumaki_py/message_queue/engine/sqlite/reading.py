"""Questions to the file. Each is answered from one state of it.

Rule: nothing here writes, so any connection does.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

from tatsumaki_py.message_queue.event import Entry
from tatsumaki_py.message_queue.ids import position

__all__ = [
    "Budget",
    "Loaded",
    "between",
    "crash_place",
    "newest",
    "place",
    "places_key",
    "top",
    "whole",
]

T = TypeVar("T")

_NEWEST = (
    "SELECT ms, seq, quiet, body FROM events WHERE channel = ? ORDER BY ms DESC, seq DESC LIMIT ?"
)
_BEFORE = (
    "SELECT ms, seq FROM events WHERE channel = ? AND (ms, seq) < (?, ?) "
    "ORDER BY ms DESC, seq DESC LIMIT 1"
)
_BETWEEN = (
    "SELECT ms, seq, quiet, body FROM events WHERE channel = ? AND (ms, seq) > (?, ?) "
    "AND (ms, seq) <= (?, ?) ORDER BY ms, seq LIMIT ?"
)
_NTH_BEFORE = (
    "SELECT ms, seq FROM events WHERE channel = ? AND time <= ? "
    "ORDER BY ms DESC, seq DESC LIMIT 1 OFFSET ?"
)


class Budget(NamedTuple):
    """How much is read at once."""

    events: int
    bytes: int


class Loaded(NamedTuple):
    """The newest events of a channel."""

    top: str
    events: list[Entry]


def whole(number: float) -> int:
    """A setting, which may be any number, as a count for SQLite."""
    return int(min(number, 1 << 62))


def places_key(channels: Iterable[str]) -> str:
    """Channels as the table of places has them."""
    return json.dumps(list(channels))


def _in_one_state(file: sqlite3.Connection, read: Callable[[], T]) -> T:
    file.execute("BEGIN")
    try:
        return read()
    finally:
        file.rollback()


def newest(
    file: sqlite3.Connection, name: str, count: float, since_ms: float, budget: Budget | None
) -> Loaded | None:
    """The newest `count` events of the channel `name`, none of them from before `since_ms`; None if
    they are more than `budget`.
    """
    return _in_one_state(file, lambda: _newest(file, name, count, since_ms, budget))


def _newest(
    file: sqlite3.Connection, name: str, count: float, since_ms: float, budget: Budget | None
) -> Loaded | None:
    channel, first, top = _channel(file, name)
    rows = []
    left = budget or Budget(1 << 62, 1 << 62)
    for row in file.execute(_NEWEST, (channel, whole(count))):
        if row[0] < since_ms:
            break
        left = Budget(left.events - 1, left.bytes - len(row[3]))
        if left.events < 0 or left.bytes < 0:
            return None
        rows.append(row)
    if rows:
        before = file.execute(_BEFORE, (channel, *rows[-1][:2])).fetchone()
        first = first if before is None else _id(*before)
    return Loaded(top, _entries(name, first, reversed(rows)))


def top(file: sqlite3.Connection, name: str) -> str:
    """The newest id of a channel."""
    return _in_one_state(file, lambda: _channel(file, name)[2])


def between(
    file: sqlite3.Connection, name: str, cursor: str, end: str, limit: int, since_ms: float
) -> list[Entry] | None:
    """The events after `cursor` up to that of the id `end`. None if some are lost, are from before
    `since_ms`, or are more than `limit`.
    """
    return _in_one_state(file, lambda: _between(file, name, cursor, end, limit, since_ms))


def _between(
    file: sqlite3.Connection, name: str, cursor: str, end: str, limit: int, since_ms: float
) -> list[Entry] | None:
    channel, first, _ = _channel(file, name)
    begin = position(cursor)
    if max(begin) >= 1 << 63:
        return None
    known = "SELECT 1 FROM events WHERE channel = ? AND ms = ? AND seq = ?"
    if cursor != first and not file.execute(known, (channel, *begin)).fetchone():
        return None
    rows = file.execute(_BETWEEN, (channel, *begin, *position(end), limit + 1)).fetchall()
    if not rows or len(rows) > limit or _id(*rows[-1][:2]) != end or rows[0][0] < since_ms:
        return None
    return _entries(name, cursor, rows)


def place(
    file: sqlite3.Connection, channels: tuple[str, ...], client_id: str
) -> tuple[str, float, float] | None:
    """The cursor of a named client, the time when it was remembered, and for how many seconds."""
    query = "SELECT cursor, time, seconds FROM places WHERE channels = ? AND client = ?"
    found: tuple[str, float, float] | None = file.execute(
        query, (places_key(channels), client_id)
    ).fetchone()
    return found


def crash_place(
    file: sqlite3.Connection, name: str, killed: float, recovery_time: float, backlog: float
) -> tuple[str, bool]:
    """Where a client begins that may have listened when the process was killed, at the time
    `killed`: it gets the backlog of that time, the events of the last `recovery_time` seconds
    before, and all that came later. Also whether that is more than a new client gets.
    """
    return _in_one_state(
        file, lambda: _crash_place(file, name, killed, recovery_time, whole(backlog))
    )


def _crash_place(
    file: sqlite3.Connection, name: str, killed: float, recovery_time: float, backlog: int
) -> tuple[str, bool]:
    channel, first, _ = _channel(file, name)
    # The newest event that the client has for certain, and that a new one does not get.
    has = file.execute(_NTH_BEFORE, (channel, killed, backlog)).fetchone()
    old = file.execute(_NTH_BEFORE, (channel, killed - recovery_time, 0)).fetchone()
    has = None if has is None or old is None else min(has, old)
    new = file.execute(_NTH_BEFORE, (channel, float("inf"), backlog)).fetchone()
    return (first if has is None else _id(*has)), has != new


def _channel(file: sqlite3.Connection, name: str) -> tuple[int, str, str]:
    """The number of a channel, the place before its oldest event, and its newest id."""
    query = "SELECT id, first, top FROM channels WHERE name = ?"
    found: tuple[int, str, str] | None = file.execute(query, (name,)).fetchone()
    if found is None:
        (start,) = file.execute("SELECT start FROM life").fetchone()
        return 0, start, start
    return found


def _id(ms: int, seq: int) -> str:
    return f"{ms}-{seq}"


def _entries(name: str, prev: str, rows: Iterable[tuple[int, int, int, bytes]]) -> list[Entry]:
    events = []
    for ms, seq, quiet, body in rows:
        id = _id(ms, seq)
        events.append(Entry(body, id, prev, channel=name, quiet=bool(quiet)))
        prev = id
    return events

"""The rows of channels, as the writer keeps them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tatsumaki_py.message_queue.engine.sqlite.rows import insert, restored, stored
from tatsumaki_py.message_queue.settings import ChannelSettings

__all__ = ["Channels", "Limits", "Row", "limits_of"]

CACHED = 10_000
"""Maximum number of cached rows."""
COLUMNS = (
    "id, name, first, top, behind, count, bytes, oldest, used, backlog, kept, idle, time_to_live"
)
_CHANGE = "ON CONFLICT (id) DO UPDATE SET " + ", ".join(
    f"{column} = excluded.{column}" for column in COLUMNS.split(", ")[2:]
)


class Limits(NamedTuple):
    """The settings of a channel that the file needs."""

    backlog_length: float
    buffer_length: float
    buffer_size: float
    kept: float
    """Seconds for which events are kept."""
    idle_timeout: float
    time_to_live: float | None
    idempotency_time: float
    idempotency_keys: float
    kept_keys: float
    max_size: float


def limits_of(settings: ChannelSettings) -> Limits:
    """The limits derived from a channel's settings."""
    return Limits(
        settings.backlog_length,
        settings.buffer_length,
        settings.buffer_size,
        max(settings.reconnect_time, settings.recovery_time),
        settings.idle_timeout,
        settings.time_to_live,
        settings.idempotency_time,
        settings.idempotency_keys,
        settings.kept_keys,
        settings.max_size,
    )


@dataclass(slots=True)
class Row:
    """A channel. `first` is the place before its oldest event, and `oldest` is the time of that
    event. `used` is the time of the newest event or of the departure of the last client. `behind`
    is `Feed.behind` when the newest event was published.
    """

    id: int
    name: str
    first: str
    top: str
    behind: str
    count: int
    bytes: int
    oldest: float
    used: float
    limits: Limits


class Channels:
    """The channels of a file."""

    def __init__(self, file: sqlite3.Connection) -> None:
        self._file = file
        self._rows: dict[str, Row] = {}
        self.forget()

    def forget(self) -> None:
        """Drop the cache: the rows are read from the file again."""
        self._rows.clear()
        self._next: int | None = None
        self._size: int | None = None

    @property
    def size(self) -> int:
        """Bytes of the events of all channels."""
        if self._size is None:
            (size,) = self._file.execute("SELECT total(bytes) FROM channels").fetchone()
            self._size = int(size)
        return self._size

    def grow(self, row: Row, count: int, size: int) -> None:
        """Add to a channel's numbers of events and bytes. `count` and `size` may be negative."""
        self._size = self.size + size
        row.count += count
        row.bytes += size

    def row(self, name: str, clock: float) -> Row:
        """The channel of that name, which may be new. If its limits come from an earlier run, some
        of them may be unbounded.
        """
        row = self._rows.get(name)
        if row is None:
            found = self._select("name = ?", (stored(name),))
            row = found[0] if found else self._new(name, clock)
            self._rows[name] = row
        return row

    def _new(self, name: str, clock: float) -> Row:
        if self._next is None:
            query = "SELECT coalesce(max(id), 0) FROM channels"
            (self._next,) = self._file.execute(query).fetchone()
        self._next += 1
        (start,) = self._file.execute("SELECT start FROM life").fetchone()
        limits = limits_of(ChannelSettings())
        return Row(self._next, name, start, start, start, 0, 0, clock, clock, limits)

    def select(self, condition: str, values: Sequence[object]) -> list[Row]:
        """The channels for which `condition` is true."""
        return [self._rows.get(row.name, row) for row in self._select(condition, values)]

    def _select(self, condition: str, values: Sequence[object]) -> list[Row]:
        query = f"SELECT {COLUMNS} FROM channels WHERE {condition}"
        return [_row(found) for found in self._file.execute(query, values).fetchall()]

    def save(self, rows: Iterable[Row]) -> None:
        """Write new and changed rows."""
        values = [_values(row) for row in rows]
        insert(self._file, f"channels ({COLUMNS})", 13, values, end=_CHANGE)
        if len(self._rows) > CACHED:
            self._rows.clear()

    def used(self, name: str, clock: float) -> None:
        """Record in the cached row that the channel was used at that time."""
        if name in self._rows:
            self._rows[name].used = clock

    def drop(self, row: Row) -> None:
        """Delete the row of a channel."""
        self._rows.pop(row.name, None)
        self._file.execute("DELETE FROM channels WHERE id = ?", (row.id,))


def _values(row: Row) -> tuple[object, ...]:
    limits = row.limits
    return (
        row.id,
        stored(row.name),
        row.first,
        row.top,
        row.behind,
        row.count,
        row.bytes,
        row.oldest,
        row.used,
        float(limits.backlog_length),
        float(limits.kept),
        float(limits.idle_timeout),
        limits.time_to_live,
    )


def _row(found: Sequence[Any]) -> Row:
    *rest, backlog, kept, idle, time_to_live = found
    # The other limits are applied when an event is written.
    limits = limits_of(ChannelSettings())._replace(
        backlog_length=backlog,
        buffer_length=float("inf"),
        buffer_size=float("inf"),
        kept=kept,
        idle_timeout=idle,
        time_to_live=time_to_live,
    )
    id, name, first, top, behind, count, bytes, oldest, used = rest
    return Row(id, restored(name), first, top, behind, count, bytes, oldest, used, limits)

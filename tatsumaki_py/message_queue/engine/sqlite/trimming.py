"""Drops old events from the file.

Rules:
1. Events are kept as in memory (`message_queue.retention`), by number, bytes and age: the newest
   `backlog_length`, and recent ones up to `buffer_length` and `buffer_size`. No event is kept for a
   client that lags behind.
2. Events are dropped several at a time: a channel may exceed its limits by a sixteenth, and events
   may exceed their maximum age by an eighth.
3. After a start, clients first get time to come back. During this time, no event is dropped because
   of its age, and no channel is emptied because it is idle.
4. A channel without events keeps its newest id, so that a client that received all of its events
   gets no gap. Beyond `MAX_TOPS`, the least recently used channels are dropped, and all unknown
   channels begin at a new id.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection

from tatsumaki_py.message_queue.engine.sqlite.channels import Channels, Row
from tatsumaki_py.message_queue.engine.sqlite.keys import Keys
from tatsumaki_py.message_queue.engine.sqlite.lasts import Lasts
from tatsumaki_py.message_queue.engine.sqlite.rows import whole
from tatsumaki_py.message_queue.event import OVERHEAD
from tatsumaki_py.message_queue.ids import Ids

__all__ = ["MAX_TOPS", "Trimming"]

MAX_TOPS = 100_000
"""How many channels without events keep their newest id."""
TURN = 200
"""Channels to check in one transaction."""
SPARE = 16
"""See rule 2."""

Position = tuple[int, int]

_NTH_OLDEST = "SELECT ms, seq FROM events WHERE channel = ? ORDER BY ms, seq LIMIT 1 OFFSET ?"
_NTH_NEWEST = (
    "SELECT ms, seq FROM events WHERE channel = ? ORDER BY ms DESC, seq DESC LIMIT 1 OFFSET ?"
)
_OLD = (
    "SELECT ms, seq FROM events WHERE channel = ? AND time < ? ORDER BY ms DESC, seq DESC LIMIT 1"
)
_OVERSIZE = (
    f"SELECT ms, seq FROM (SELECT ms, seq, sum(length(body) + {OVERHEAD}) OVER (ORDER BY ms, seq) "
    "AS size FROM events WHERE channel = ?) WHERE size >= ? ORDER BY ms, seq LIMIT 1"
)
_UP_TO = "FROM events WHERE channel = ? AND (ms, seq) <= (?, ?)"
_EXPIRED = (
    "time_to_live IS NOT NULL AND count > 0 AND (SELECT ms FROM events WHERE channel = channels.id "
    f"ORDER BY ms, seq LIMIT 1) < ? - time_to_live * 1000 LIMIT {TURN}"
)
_AGED = f"count > backlog AND oldest < ? - kept * 1.125 - 1 AND ? > kept LIMIT {TURN}"
_HOLDS = "(count > 0 OR EXISTS (SELECT 1 FROM lasts WHERE channel = channels.id))"
_IDLE = f"{_HOLDS} AND used <= ? - idle AND ? > kept LIMIT {TURN}"


class Trimming:
    """Drops events of one file. The methods must be called in a transaction.

    Args:
        in_use: the names of the channels with clients.
        opened: the time at which this run began.
    """

    def __init__(
        self,
        file: sqlite3.Connection,
        channels: Channels,
        keys: Keys,
        lasts: Lasts,
        in_use: Collection[str],
        opened: float,
    ) -> None:
        self._file = file
        self._channels = channels
        self._keys = keys
        self._lasts = lasts
        self._in_use = in_use
        self._opened = opened
        self._beside = keys.size() + lasts.size()

    # -- one channel

    def trim(self, row: Row, clock: float) -> None:
        """Drop the events of a channel that need not be kept. The caller saves the row."""
        limits = row.limits
        ends = []
        if row.count > limits.buffer_length * (1 + 1 / SPARE):
            surplus = row.count - whole(limits.buffer_length)
            ends.append(self._find(_NTH_OLDEST, row.id, surplus - 1))
        if row.bytes > limits.buffer_size * (1 + 1 / SPARE):
            ends.append(self._find(_OVERSIZE, row.id, row.bytes - whole(limits.buffer_size)))
        if self._aged(row, clock):
            old = self._find(_OLD, row.id, clock - limits.kept)
            but = self._find(_NTH_NEWEST, row.id, whole(limits.backlog_length))
            if old is not None and but is not None:
                ends.append(min(old, but))
        found = [end for end in ends if end is not None]
        if found:
            self._cut(row, max(found))

    def _aged(self, row: Row, clock: float) -> bool:
        limits = row.limits
        if row.count <= limits.backlog_length or clock - self._opened <= limits.kept:
            return False
        return row.oldest < clock - limits.kept * 1.125 - 1

    def _find(self, query: str, *values: object) -> Position | None:
        found: Position | None = self._file.execute(query, values).fetchone()
        return found

    def _cut(self, row: Row, end: Position) -> None:
        """Drop the events up to the id `end`."""
        up_to = (row.id, *end)
        count, size = self._file.execute(
            f"SELECT count(*), total(length(body) + {OVERHEAD}) {_UP_TO}", up_to
        ).fetchone()
        if not count:
            return
        ms, seq = self._file.execute(
            f"SELECT ms, seq {_UP_TO} ORDER BY ms DESC, seq DESC LIMIT 1", up_to
        ).fetchone()
        self._file.execute(f"DELETE {_UP_TO}", up_to)
        self._channels.grow(row, -count, -int(size))
        row.first = f"{ms}-{seq}"
        oldest = self._file.execute(
            "SELECT time FROM events WHERE channel = ? ORDER BY ms, seq LIMIT 1", (row.id,)
        ).fetchone()
        if oldest is not None:
            (row.oldest,) = oldest

    def _empty(self, row: Row) -> None:
        self._file.execute("DELETE FROM events WHERE channel = ?", (row.id,))
        self._keys.drop(row)
        self._lasts.drop(row)
        self._channels.grow(row, -row.count, -row.bytes)
        row.first = row.top

    # -- all channels

    def make_room(self, max_size: float) -> bool:
        """Whether there is room for events. To make room, channels without clients are emptied, the
        least recently used first.
        """
        if self._channels.size + self._beside <= max_size:
            return True
        enough = max_size * (1 - 1 / SPARE)
        for row in self._channels.select("count > 0 ORDER BY used", ()):
            if self._channels.size + self._beside <= enough:
                break
            if row.name not in self._in_use:
                self._empty(row)
                self._channels.save([row])
        return self._channels.size + self._beside <= max_size

    def sweep(self, clock: float, now_ms: float, ids: Ids) -> bool:
        """Drop expired events in all channels. Returns whether there may be more.

        Args:
            clock: the time.
            now_ms: the machine's clock, in milliseconds since the epoch.
            ids: gives the new id at which unknown channels begin.
        """
        self._keys.expire(clock)
        self._lasts.expire(now_ms)
        self._beside = self._keys.size() + self._lasts.size()
        age = clock - self._opened
        expired = self._channels.select(_EXPIRED, (now_ms,))
        for row in expired:
            self._cut(row, (whole(now_ms - 1000 * (row.limits.time_to_live or 0)), 0))
        aged = self._channels.select(_AGED, (clock, age))
        for row in aged:
            self.trim(row, clock)
        idle = self._channels.select(_IDLE, (clock, age))
        for row in idle:
            if row.name in self._in_use:
                row.used = clock
            else:
                self._empty(row)
                # No client is behind, because there are no clients.
                row.behind = row.top
        self._channels.save({row.id: row for row in (*expired, *aged, *idle)}.values())
        self._forget_tops(ids)
        return TURN in (len(expired), len(aged), len(idle))

    def _forget_tops(self, ids: Ids) -> None:
        (count,) = self._file.execute("SELECT count(*) FROM channels WHERE count = 0").fetchone()
        if count <= MAX_TOPS:
            return
        query = f"count = 0 ORDER BY used LIMIT {count - MAX_TOPS + MAX_TOPS // SPARE}"
        for row in self._channels.select(query, ()):
            if row.name not in self._in_use:
                self._lasts.drop(row)
                self._channels.drop(row)
        self._file.execute("UPDATE life SET start = ?", (ids.next(),))

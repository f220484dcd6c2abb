"""The last event of each key, in a separate table.

Rules:
1. A last event is written in the same transaction as its row in the table of events, and stays when
   that row is dropped.
2. A channel keeps at most `kept_keys` last events, in at most half of `buffer_size`. If they are
   too large, a tenth of them is dropped at a time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from tatsumaki_py.message_queue.engine.sqlite.channels import Row
from tatsumaki_py.message_queue.engine.sqlite.rows import stored, whole
from tatsumaki_py.message_queue.event import OVERHEAD, Entry
from tatsumaki_py.message_queue.ids import position

__all__ = ["Lasts"]

_SIZE = f"total(length(body) + {OVERHEAD})"
_COUNT = f"SELECT count(*), {_SIZE} FROM lasts WHERE channel = ?"
_DROP = (
    "DELETE FROM lasts WHERE (channel, key) IN "
    "(SELECT channel, key FROM lasts WHERE channel = ? ORDER BY ms, seq LIMIT ?)"
)
_EXPIRE = (
    "DELETE FROM lasts WHERE (channel, key) IN (SELECT channel, key FROM channels "
    "JOIN lasts ON channel = channels.id "
    "WHERE time_to_live IS NOT NULL AND ms < ? - time_to_live * 1000)"
)


class Lasts:
    """The last events of all channels."""

    def __init__(self, file: sqlite3.Connection) -> None:
        self._file = file
        # The events that this transaction adds.
        self._new: dict[tuple[int, str], Entry] = {}

    def keep(self, row: Row, key: str, event: Entry) -> None:
        """Store `event` as the last of `key`."""
        self._new[row.id, key] = event

    def flush(self, rows: Iterable[Row]) -> None:
        """Write the new events, and drop the oldest ones of `rows` beyond their limits."""
        if not self._new:
            return
        new = [
            (channel, stored(key), *position(event.id), event.prev, event.quiet, event.json)
            for (channel, key), event in self._new.items()
        ]
        self._file.executemany("REPLACE INTO lasts VALUES (?, ?, ?, ?, ?, ?, ?)", new)
        changed = {channel for channel, _ in self._new}
        for row in rows:
            if row.id in changed:
                self._shrink(row)
        self.forget()

    def _shrink(self, row: Row) -> None:
        limit, size = row.limits.kept_keys, row.limits.buffer_size / 2
        count, bytes = self._file.execute(_COUNT, (row.id,)).fetchone()
        while count and (count > limit or bytes > size):
            # If the events are too large, drop a tenth at a time.
            drop = count - whole(limit) if count > limit else count // 10 + 1
            self._file.execute(_DROP, (row.id, drop))
            count, bytes = self._file.execute(_COUNT, (row.id,)).fetchone()

    def expire(self, now_ms: float) -> None:
        """Drop the events that are older than the `time_to_live` of their channel."""
        self._file.execute(_EXPIRE, (now_ms,))

    def size(self) -> int:
        """Bytes of all last events."""
        (size,) = self._file.execute(f"SELECT {_SIZE} FROM lasts").fetchone()
        return int(size)

    def drop(self, row: Row) -> None:
        """Drop all last events of a channel."""
        self._file.execute("DELETE FROM lasts WHERE channel = ?", (row.id,))

    def forget(self) -> None:
        """The transaction has ended."""
        self._new.clear()

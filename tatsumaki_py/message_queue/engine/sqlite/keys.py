"""The stored answers to publishers that gave an idempotency key.

Rule: a key is written in the same transaction as its events.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from typing import Protocol

from tatsumaki_py.error import HTTPError
from tatsumaki_py.message_queue.engine.sqlite.channels import Limits, Row
from tatsumaki_py.message_queue.engine.sqlite.rows import stored, whole
from tatsumaki_py.message_queue.idempotency import OVERHEAD, digest_of

__all__ = ["SIZE", "Keyed", "Keys"]

SIZE = f"total({OVERHEAD} + 4 * length(key) + length(ids))"
"""The bytes of keys, as `idempotency` counts them."""
_COUNT = f"SELECT count(*), {SIZE} FROM keys WHERE channel = ?"
_DROP = "DELETE FROM keys WHERE n IN (SELECT n FROM keys WHERE channel = ? ORDER BY n LIMIT ?)"
_FIND = "SELECT digest, ids FROM keys WHERE channel = ? AND key = ? AND until > ?"


class Keyed(Protocol):
    """Events with an idempotency key."""

    bodies: Sequence[bytes]
    key: str | None
    limits: Limits
    ids: list[str]
    error: Exception | None


class Keys:
    """The keys of all channels."""

    def __init__(self, file: sqlite3.Connection) -> None:
        self._file = file
        # The keys that this transaction adds.
        self._new: dict[tuple[int, str], tuple[float, bytes, str]] = {}

    def find(self, write: Keyed, name: str, row: Row, clock: float) -> bool:
        """Whether the key of `write` is known. If so, `write` gets its ids, or a 422 if other
        events were published under the key.
        """
        new = self._new.get((row.id, name))
        known = self._file.execute(_FIND, (row.id, stored(name), clock)).fetchone()
        found = known if new is None else new[1:]
        if found is None:
            return False
        if found[0] == digest_of(write.bodies, write.key):
            write.ids = found[1].split()
        else:
            write.error = HTTPError(422, "something else was published under this idempotency key")
        return True

    def keep(self, write: Keyed, name: str, row: Row, clock: float) -> None:
        """Remember the key of `write`."""
        until = clock + write.limits.idempotency_time
        self._new[row.id, name] = until, digest_of(write.bodies, write.key), " ".join(write.ids)

    def flush(self, rows: Collection[Row]) -> None:
        """Write the new keys of `rows`, and drop the oldest ones beyond their limits."""
        if not self._new:
            return
        new = [(channel, stored(key), *rest) for (channel, key), rest in self._new.items()]
        query = "REPLACE INTO keys (channel, key, until, digest, ids) VALUES (?, ?, ?, ?, ?)"
        self._file.executemany(query, new)
        keyed = {channel for channel, _ in self._new}
        for row in rows:
            if row.id in keyed:
                self._shrink(row)
        self.forget()

    def _shrink(self, row: Row) -> None:
        count, size = self._file.execute(_COUNT, (row.id,)).fetchone()
        limit, bytes = row.limits.idempotency_keys, row.limits.buffer_size
        while count and (count > limit or size > bytes):
            # If the keys are too large, drop a tenth at a time.
            drop = count - whole(limit) if count > limit else count // 10 + 1
            self._file.execute(_DROP, (row.id, drop))
            count, size = self._file.execute(_COUNT, (row.id,)).fetchone()

    def expire(self, clock: float) -> None:
        """Drop the keys that have expired."""
        self._file.execute("DELETE FROM keys WHERE until <= ?", (clock,))

    def size(self) -> int:
        """Bytes of all keys."""
        (size,) = self._file.execute(f"SELECT {SIZE} FROM keys").fetchone()
        return int(size)

    def drop(self, row: Row) -> None:
        """Drop all keys of a channel."""
        self._file.execute("DELETE FROM keys WHERE channel = ?", (row.id,))

    def forget(self) -> None:
        """The transaction has ended."""
        self._new.clear()

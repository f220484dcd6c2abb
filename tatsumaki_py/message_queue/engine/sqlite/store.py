"""All writes to the file: synchronous, in one thread. Times are arguments.

Rules:
1. One call is one transaction: it is written completely or not at all.
2. Ids increase from one run to the next, even if the machine's clock stepped back.
3. Times are seconds of the file's own clock, which runs only while a process uses the file, so
   nothing expires while no process runs. Only `time_to_live` uses the machine's clock.
4. Each channel's row has the number of its events, and their bytes. The cache of rows is dropped
   when a transaction fails.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Collection, Sequence

from tatsumaki_py.error import HTTPError
from tatsumaki_py.message_queue.engine.sqlite.channels import Channels, Limits, Row
from tatsumaki_py.message_queue.engine.sqlite.keys import Keys
from tatsumaki_py.message_queue.engine.sqlite.lasts import Lasts
from tatsumaki_py.message_queue.engine.sqlite.rows import insert, places_key, stored
from tatsumaki_py.message_queue.engine.sqlite.trimming import Trimming
from tatsumaki_py.message_queue.event import OVERHEAD, Entry
from tatsumaki_py.message_queue.ids import Ids, position

__all__ = ["Place", "Store", "Write"]

SPARE_PAGES = 256
"""Free pages that the file reserves for new events."""
TURN = 2000
"""Free pages to release in one go."""

Place = tuple[tuple[str, ...], str, str, float, float]
"""A client's channels, name and cursor, when it was remembered, and for how many seconds."""


class Write:
    """Events to write, and the result: `events` and `ids`, or `error`."""

    __slots__ = (
        "behind",
        "bodies",
        "error",
        "events",
        "idempotency_key",
        "ids",
        "key",
        "limits",
        "name",
        "quiet",
        "size",
    )

    def __init__(
        self,
        name: str,
        bodies: Sequence[bytes],
        *,
        key: str | None,
        idempotency_key: str | None,
        quiet: bool,
        limits: Limits,
        behind: str | None,
    ) -> None:
        self.name = name
        self.bodies = bodies
        self.key = key
        self.idempotency_key = idempotency_key
        self.quiet = quiet
        self.limits = limits
        self.behind = behind
        """See `Feed.behind`; None if the channel is not loaded here."""
        self.size = sum(map(len, bodies)) + OVERHEAD * len(bodies)
        """Bytes of the events, as a log counts them."""
        self.events: list[Entry] = []
        self.ids: list[str] = []
        self.error: Exception | None = None


class Store:
    """Writes to one file.

    Args:
        file: the connection.
        in_use: the channels with clients; the set may change.

    Attributes:
        opened: the time at which this run began.
        killed: whether the previous run did not end normally.
    """

    def __init__(self, file: sqlite3.Connection, in_use: Collection[str]) -> None:
        self._file = file
        self._in_use = in_use
        newest, clock, killed = file.execute("SELECT newest, clock, open FROM life").fetchone()
        # Events of this run are later than all events of the previous run.
        self.opened: float = clock + 1
        self.killed = bool(killed)
        self._ids = Ids(after=newest)
        self._keys = Keys(file)
        self._lasts = Lasts(file)
        self._channels = Channels(file)
        self._trimming = Trimming(
            file, self._channels, self._keys, self._lasts, in_use, self.opened
        )
        with self:
            # An absent client keeps its place for its full time, counted from now.
            file.execute("UPDATE places SET time = ?", (self.opened - 0.5,))
            file.execute("UPDATE life SET open = 1")

    def __enter__(self) -> None:
        self._file.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        committed = False
        try:
            if kind is None:
                self._file.execute("COMMIT")
                committed = True
        finally:
            if not committed:
                self._channels.forget()
                self._keys.forget()
                self._lasts.forget()
                self._file.rollback()

    def write(self, writes: Sequence[Write], clock: float) -> None:
        """Write events. Each of `writes` gets its result, unless this raises."""
        with self:
            room = self._trimming.make_room(writes[-1].limits.max_size)
            touched: dict[int, Row] = {}
            added: list[tuple[object, ...]] = []
            for write in writes:
                name = write.idempotency_key
                if name is not None and self._keys.find(
                    write, name, self._row(write, clock), clock
                ):
                    continue
                if not write.bodies:
                    continue
                if not room:
                    write.error = HTTPError(503, "too many events")
                    continue
                row = self._row(write, clock)
                touched[row.id] = row
                self._add(write, row, clock, added)
                if name is not None:
                    self._keys.keep(write, name, row, clock)
                if write.key is not None:
                    self._lasts.keep(row, write.key, write.events[-1])
            insert(self._file, "events", 7, added)
            self._keys.flush(touched.values())
            self._lasts.flush(touched.values())
            for row in touched.values():
                self._trimming.trim(row, clock)
            self._channels.save(touched.values())
            self._tell(clock)

    def _row(self, write: Write, clock: float) -> Row:
        row = self._channels.row(write.name, clock)
        row.limits = write.limits
        if write.behind is not None:
            # Clients of a killed run may still come back to the places that they had.
            expected = self.killed and clock - self.opened <= row.limits.kept
            places = (row.behind, write.behind) if expected else (write.behind,)
            row.behind = min(places, key=position)
        return row

    def _add(self, write: Write, row: Row, clock: float, added: list[tuple[object, ...]]) -> None:
        prev, size = row.top, 0
        key = None if write.key is None else stored(write.key)
        for body in write.bodies:
            id = self._ids.next()
            event = Entry(body, id, prev, channel=write.name, quiet=write.quiet, key=write.key)
            write.events.append(event)
            write.ids.append(id)
            added.append((row.id, *position(id), clock, write.quiet, body, key))
            size += event.size
            prev = id
        if not row.count:
            row.oldest = clock
        self._channels.grow(row, len(write.bodies), size)
        row.top, row.used = prev, clock

    def _tell(self, clock: float) -> None:
        newest = self._ids.newest
        self._file.execute("UPDATE life SET newest = ?, clock = ?", (newest, clock))

    def remember(self, places: Collection[Place], left: Collection[str], clock: float) -> None:
        """Store the places of clients, and that the last client has left each channel in `left`."""
        with self:
            rows = [
                (places_key(channels), stored(client_id), *rest)
                for channels, client_id, *rest in places
            ]
            insert(self._file, "places", 5, rows, verb="REPLACE")
            query = "UPDATE channels SET used = ? WHERE name = ?"
            self._file.executemany(query, [(clock, stored(name)) for name in left])
            for name in left:
                self._channels.used(name, clock)
            self._tell(clock)

    def sweep(self, clock: float) -> bool:
        """Drop some of the expired rows. Returns whether there may be more."""
        with self:
            self._file.execute("DELETE FROM places WHERE time + seconds <= ?", (clock,))
            more = self._trimming.sweep(clock, time.time() * 1000, self._ids)
            self._tell(clock)
        (free,) = self._file.execute("PRAGMA freelist_count").fetchone()
        if free > 2 * SPARE_PAGES:
            pages = min(free - SPARE_PAGES, TURN)
            # Each step of the statement frees one page, and `execute` alone makes one step.
            self._file.executescript(f"PRAGMA incremental_vacuum({pages})")
        return more

    def end(self, clock: float) -> None:
        """This run ends normally."""
        with self:
            self._file.execute("UPDATE life SET open = 0")
            self._tell(clock)
        # Closing the file would do this, too, but may be slow.
        self._file.execute("PRAGMA wal_checkpoint(PASSIVE)")

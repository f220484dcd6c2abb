"""The file: its lock, its schema and its connections.

Rules:
1. Only one process uses a file: the process that holds the lock of the file ``-lock`` beside it.
   The operating system releases the lock when the process ends, even if it is killed. The file
   ``-lock`` stays, because a process that deleted it could delete the lock of the next process.
2. A file of another program or of a newer version is refused before it is changed.
3. `STEPS[n - 1]` makes the schema of version n from that of version n - 1, in one transaction.
   Version 0 is an empty file.
4. SQLite continues to write to a file that was deleted or replaced, and these writes are lost.
   `check` is therefore called before each transaction.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from tatsumaki_py.message_queue.engine import EngineError
from tatsumaki_py.message_queue.engine.sqlite.options import SQLiteOptions
from tatsumaki_py.message_queue.ids import Ids

__all__ = ["File", "broken", "said"]

APPLICATION = 0x74617473
"""The application id of this engine's files: "tats"."""
WAL_SIZE = 4 * 1024 * 1024
"""Bytes to which the write-ahead log is cut when SQLite starts to overwrite it."""
PATIENCE = 5.0
"""Seconds for which a write waits for another program, such as a backup, to finish."""

STEPS = [
    (
        # `start` is the place where unknown channels begin, `newest` the newest id of all;
        # `clock` is in seconds, see `store`; `open` is 1 while a process uses the file.
        "CREATE TABLE life (start TEXT, newest TEXT, clock REAL, open INTEGER)",
        # `first` is the place before the oldest event; `behind` is that of the client that was the
        # furthest behind; `used` and `oldest` are times of the clock.
        """
        CREATE TABLE channels (
            id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, first TEXT NOT NULL,
            top TEXT NOT NULL, behind TEXT NOT NULL, count INTEGER NOT NULL, bytes INTEGER NOT NULL,
            oldest REAL NOT NULL, used REAL NOT NULL, backlog REAL NOT NULL, kept REAL NOT NULL,
            idle REAL NOT NULL, time_to_live REAL
        )
        """,
        # The id of an event is "ms-seq".
        """
        CREATE TABLE events (
            channel INTEGER, ms INTEGER, seq INTEGER, time REAL NOT NULL, quiet INTEGER NOT NULL,
            body BLOB NOT NULL, PRIMARY KEY (channel, ms, seq)
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE keys (
            n INTEGER PRIMARY KEY, channel INTEGER NOT NULL, key TEXT NOT NULL,
            until REAL NOT NULL, digest BLOB NOT NULL, ids TEXT NOT NULL, UNIQUE (channel, key)
        )
        """,
        "CREATE INDEX keys_until ON keys (until)",
        # `channels` is a JSON list of names.
        """
        CREATE TABLE places (
            channels TEXT, client TEXT, cursor TEXT NOT NULL, time REAL NOT NULL,
            seconds REAL NOT NULL, PRIMARY KEY (channels, client)
        ) WITHOUT ROWID
        """,
    ),
    (
        "ALTER TABLE events ADD COLUMN key TEXT",
        # The last event of each key; `prev` is the id before it.
        """
        CREATE TABLE lasts (
            channel INTEGER, key TEXT, ms INTEGER NOT NULL, seq INTEGER NOT NULL,
            prev TEXT NOT NULL, quiet INTEGER NOT NULL, body BLOB NOT NULL,
            PRIMARY KEY (channel, key)
        ) WITHOUT ROWID
        """,
        "CREATE UNIQUE INDEX lasts_order ON lasts (channel, ms, seq)",
    ),
]


class File:
    """An open file. Raises `EngineError` if it cannot be used.

    Attributes:
        writer: the connection of the writer thread.
        reader: a connection that only reads, even while the other one writes.
    """

    def __init__(self, options: SQLiteOptions) -> None:
        self.path = os.path.realpath(options.path)
        with _explained(self.path):
            self._check_owner()
            self._lock = self._take_lock()
        with self.opening():
            self.writer = _connect(self.path)
            self._prepare(options.synchronous)
            # The event loop reads, so this connection never waits.
            self.reader = _connect(self.path, patience=0)
            self.reader.execute("PRAGMA query_only = 1")
            # With the first read, SQLite makes the files that `check` compares.
            self.reader.execute("SELECT 1 FROM life").fetchone()
            paths = [self.path + end for end in ("", "-wal", "-shm", "-lock")]
            self._files = {path: _identity(path) for path in paths}

    def _check_owner(self) -> None:
        if not os.path.exists(self.path) or not os.path.getsize(self.path):
            return
        with contextlib.closing(_connect(f"{Path(self.path).as_uri()}?mode=rw")) as file:
            (owner,) = file.execute("PRAGMA application_id").fetchone()
            (tables,) = file.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            (version,) = file.execute("PRAGMA user_version").fetchone()
        if owner != APPLICATION and (owner or tables):
            raise EngineError(f"{self.path} belongs to another program: choose another file")
        if version > len(STEPS):
            raise EngineError(
                f"{self.path} was made by a newer version of tatsumaki_py (schema {version}, this "
                f"version reads {len(STEPS)}): upgrade tatsumaki_py, or choose another file"
            )

    def _take_lock(self) -> sqlite3.Connection:
        lock = sqlite3.connect(
            f"{self.path}-lock", timeout=0, isolation_level=None, check_same_thread=False
        )
        try:
            # Nothing is ever written to this file.
            lock.execute("PRAGMA journal_mode = OFF")
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            lock.close()
            if _code(error) != sqlite3.SQLITE_BUSY:
                raise
            raise EngineError(
                f"{self.path} is used by another process: a SQLite file is for one process, and "
                "Redis is for several (MessageQueue.configure)"
            ) from None
        return lock

    def _prepare(self, synchronous: str) -> None:
        file = self.writer
        file.execute("PRAGMA auto_vacuum = INCREMENTAL")
        _migrate(file)
        # Switch to WAL only now, so that the application id and the version are in the file itself,
        # not in its log.
        (mode,) = file.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise EngineError(f"{self.path}: this file system has no shared memory for SQLite")
        file.execute(f"PRAGMA journal_size_limit = {WAL_SIZE}")
        file.execute(f"PRAGMA synchronous = {synchronous}")

    def check(self) -> None:
        """Raises `sqlite3.OperationalError` if one of the files was deleted or replaced."""
        for path, identity in self._files.items():
            if _identity(path) != identity:
                raise sqlite3.OperationalError(
                    f"{path} was deleted, moved or replaced: put it back, or restart the program"
                )

    @contextlib.contextmanager
    def opening(self) -> Iterator[None]:
        """If the block fails, close the file, and turn an error of SQLite into an `EngineError`
        with advice.
        """
        try:
            with _explained(self.path):
                yield
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file, so that another process can use it."""
        for name in ("reader", "writer", "_lock"):
            connection = getattr(self, name, None)
            if connection is not None:
                connection.close()


def _connect(path: str, patience: float = PATIENCE) -> sqlite3.Connection:
    return sqlite3.connect(
        path,
        timeout=patience,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
        uri=path.startswith("file:"),
    )


def _identity(path: str) -> tuple[int, int] | None:
    """The identity of the file that `path` names."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _migrate(file: sqlite3.Connection) -> None:
    """Upgrade the schema to the version of this program."""
    (version,) = file.execute("PRAGMA user_version").fetchone()
    if version == len(STEPS):
        return
    file.execute("BEGIN EXCLUSIVE")
    try:
        for step in STEPS[version:]:
            for statement in step:
                file.execute(statement)
        if not version:
            start = Ids().next()
            file.execute("INSERT INTO life VALUES (?, ?, 0.0, 0)", (start, start))
        file.execute(f"PRAGMA application_id = {APPLICATION}")
        file.execute(f"PRAGMA user_version = {len(STEPS)}")
        file.execute("COMMIT")
    except sqlite3.Error:
        file.rollback()
        raise


@contextlib.contextmanager
def _explained(path: str) -> Iterator[None]:
    """Turns an error of SQLite into an `EngineError` whose text says what to do."""
    try:
        yield
    except sqlite3.Error as error:
        raise EngineError(f"{path} cannot be used: {said(error)}{_mend(error, path)}") from None


def _mend(error: sqlite3.Error, path: str) -> str:
    if broken(error):
        copy = f"{path}-recovered"
        return (
            f"; move it away to begin with an empty file, restore a copy, or rescue what is left "
            f"with: sqlite3 {path} .recover | sqlite3 {copy}"
        )
    if _code(error) in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        folder, name = os.path.split(path)
        return f"; this process must be able to write to the folder {folder} and its files {name}*"
    return ""


def broken(error: Exception | None) -> bool:
    """Whether the file itself is damaged, so that a retry would also fail."""
    return _code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _code(error: Exception | None) -> int:
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF


def said(error: Exception) -> str:
    """The message of SQLite in one line."""
    return " ".join(str(error).split()) or type(error).__name__

"""Rows that are written together in few statements.

Python's sqlite3 lets other threads run during each statement, and then waits for its turn again:
many small statements would take longer than one large one while the event loop is busy.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from itertools import chain

__all__ = ["insert"]

SIZES = (64, 8, 1)
"""Rows of one statement. There are few sizes, so that SQLite compiles few statements."""


def insert(
    file: sqlite3.Connection,
    table: str,
    width: int,
    rows: Sequence[Sequence[object]],
    *,
    or_replace: bool = False,
) -> None:
    """Insert rows, each of which has `width` values."""
    done = 0
    verb = "REPLACE" if or_replace else "INSERT"
    for size in SIZES:
        while len(rows) - done >= size:
            values = ",".join([f"({','.join('?' * width)})"] * size)
            batch = rows[done : done + size]
            file.execute(f"{verb} INTO {table} VALUES {values}", [*chain.from_iterable(batch)])
            done += size

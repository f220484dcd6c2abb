"""How values and rows are written to the file.

Python's sqlite3 releases the interpreter lock during each statement, and then waits for it again:
while the event loop is busy, many small statements would take longer than one large one.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from itertools import chain

__all__ = ["insert", "places_key", "restored", "stored", "whole"]

SIZES = (64, 8, 1)
"""Numbers of rows in one statement. There are few of them, so that SQLite compiles few statements.
"""


def insert(
    file: sqlite3.Connection,
    into: str,
    width: int,
    rows: Sequence[Sequence[object]],
    *,
    verb: str = "INSERT",
    end: str = "",
) -> None:
    """Insert rows of `width` values each. `end` is appended to the statement."""
    done = 0
    for size in SIZES:
        while len(rows) - done >= size:
            values = ",".join([f"({','.join('?' * width)})"] * size)
            batch = rows[done : done + size]
            file.execute(f"{verb} INTO {into} VALUES {values} {end}", [*chain.from_iterable(batch)])
            done += size


def whole(number: float) -> int:
    """A setting, which may be any number, as an integer for SQLite."""
    return int(min(number, 1 << 62))


def stored(name: str) -> str | bytes:
    """A name as stored in the file: bytes if it is not valid Unicode.

    >>> stored("lobby"), stored("\\ud800")
    ('lobby', b'\\xed\\xa0\\x80')
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        return name.encode("utf-8", "surrogatepass")
    return name


def restored(name: str | bytes) -> str:
    """The inverse of `stored`."""
    return name if isinstance(name, str) else name.decode("utf-8", "surrogatepass")


def places_key(channels: Iterable[str]) -> str:
    """Channels as stored in the table of places."""
    return json.dumps(list(channels))

"""How values and rows go into the file.

Python's sqlite3 lets other threads run during each statement, and then waits for its turn again:
many small statements would take longer than one large one while the event loop is busy.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from itertools import chain

__all__ = ["insert", "places_key", "restored", "stored", "whole"]

SIZES = (64, 8, 1)
"""Rows of one statement. There are few sizes, so that SQLite compiles few statements."""


def insert(
    file: sqlite3.Connection,
    into: str,
    width: int,
    rows: Sequence[Sequence[object]],
    *,
    verb: str = "INSERT",
    end: str = "",
) -> None:
    """Insert rows, each of which has `width` values. `end` is put after the values."""
    done = 0
    for size in SIZES:
        while len(rows) - done >= size:
            values = ",".join([f"({','.join('?' * width)})"] * size)
            batch = rows[done : done + size]
            file.execute(f"{verb} INTO {into} VALUES {values} {end}", [*chain.from_iterable(batch)])
            done += size


def whole(number: float) -> int:
    """A setting, which may be any number, as a count for SQLite."""
    return int(min(number, 1 << 62))


def stored(name: str) -> str | bytes:
    """A name as the file has it: bytes, if it is no valid Unicode.

    >>> stored("lobby"), stored("\\ud800")
    ('lobby', b'\\xed\\xa0\\x80')
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        return name.encode("utf-8", "surrogatepass")
    return name


def restored(name: str | bytes) -> str:
    """The name of which `stored` is `name`."""
    return name if isinstance(name, str) else name.decode("utf-8", "surrogatepass")


def places_key(channels: Iterable[str]) -> str:
    """Channels as the table of places has them."""
    return json.dumps(list(channels))

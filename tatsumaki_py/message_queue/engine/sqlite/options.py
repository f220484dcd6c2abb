"""The options of the engine: which file it uses, and how. They come from a URL.

Rule: this module opens nothing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from tatsumaki_py.message_queue.engine.option import option, read_options

__all__ = ["SQLiteOptions", "parse"]

_FORM = "sqlite:events.db or sqlite:/var/lib/chat/events.db"


@dataclass(frozen=True, kw_only=True)
class SQLiteOptions:
    """A file, and how the engine uses it."""

    path: str
    """The absolute path of the file. The names of the files beside it are this path with ``-wal``,
    ``-shm`` or ``-lock`` appended.
    """
    synchronous: str = option("normal", choices=("normal", "full"))
    """With `full`, an event is on the disk before it is delivered. With `normal`, it may not yet
    be on the disk, but the operating system has it: if the process is killed, no event is lost; a
    power failure may lose the events of the last few seconds.
    """


def parse(url: str, keywords: Mapping[str, Any]) -> SQLiteOptions:
    """The options from `url` and `keywords`. A relative path is relative to the current working
    directory. Raises a `ValueError` that says what is wrong.

    >>> parse("sqlite:/var/lib/events.db?synchronous=full", {})
    SQLiteOptions(path='/var/lib/events.db', synchronous='full')
    """
    text, _, query = url.removeprefix("sqlite:").partition("?")
    path = unquote(text)
    if path == ":memory:":
        raise ValueError("SQLite in memory keeps nothing: use memory:")
    if not path or path.startswith("//") or "\0" in path:
        raise ValueError(f"the URL of a SQLite file must be like {_FORM}, not {url!r}")
    if path.endswith("/"):
        raise ValueError(f"{url!r} names a folder: the URL of a SQLite file must be like {_FORM}")
    options = read_options(SQLiteOptions, query, keywords)
    return SQLiteOptions(path=os.path.abspath(path), **options)

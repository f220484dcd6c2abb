"""What a channel of this process reads from the file."""

from __future__ import annotations

import sqlite3
import time

from tatsumaki_py.message_queue.engine import Feed
from tatsumaki_py.message_queue.engine.sqlite import reading
from tatsumaki_py.message_queue.engine.sqlite.reading import Budget, Loaded
from tatsumaki_py.message_queue.ids import NOWHERE

__all__ = ["newest_of", "since_ms"]


def newest_of(file: sqlite3.Connection, *, feed: Feed, budget: Budget | None) -> Loaded | None:
    """The newest events of a channel, and those that its clients lack."""
    settings, top = feed.settings, feed.top
    since = since_ms(feed)
    loaded = reading.newest(file, feed.name, settings.backlog_length, since, budget)
    if loaded is None or top in (NOWHERE, loaded.top) or top in [e.prev for e in loaded.events]:
        return loaded
    limit = reading.whole(settings.buffer_length)
    lacking = reading.between(file, feed.name, top, loaded.top, limit, since)
    more = lacking is not None and len(lacking) > len(loaded.events)
    return Loaded(loaded.top, lacking) if lacking is not None and more else loaded


def since_ms(feed: Feed) -> float:
    """Milliseconds since the epoch: older events of the channel are dropped."""
    time_to_live = feed.settings.time_to_live
    return 0 if time_to_live is None else (time.time() - time_to_live) * 1000

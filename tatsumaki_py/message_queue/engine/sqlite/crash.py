"""Where a named client begins that may have listened when the process was killed, and has no place
in the file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from tatsumaki_py.done import Done
from tatsumaki_py.message_queue.engine.sqlite import reading
from tatsumaki_py.message_queue.engine.sqlite.session import Session
from tatsumaki_py.message_queue.settings import ChannelSettings

__all__ = ["crashed"]


def crashed(
    session: Session,
    settings: Mapping[str, ChannelSettings],
    read: Callable[[Callable[[sqlite3.Connection], Any]], Any],
) -> Done[str | None] | None:
    """The answer of `Engine.recall`; None if the client is new.

    Args:
        session: the session that followed.
        settings: those of the channels that the client listens to.
        read: asks the file.
    """
    since = session.clock() - session.opened
    if session.killed is None or all(since > one.reconnect_time for one in settings.values()):
        return None
    places = []
    for name, one in settings.items():
        ask = partial(
            reading.crash_place,
            name=name,
            killed=session.killed if since <= one.reconnect_time else float("inf"),
            recovery_time=one.recovery_time,
            backlog=one.backlog_length,
        )
        places.append(read(ask))
    more = any(more for _, more in places)
    return Done(",".join(place for place, _ in places)) if more else None

"""The time during which the engine has the file open."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import TypeVar

from tatsumaki_py.done import Done
from tatsumaki_py.error import HTTPError
from tatsumaki_py.message_queue.alarm import now
from tatsumaki_py.message_queue.engine.sqlite import reading
from tatsumaki_py.message_queue.engine.sqlite.file import File, said
from tatsumaki_py.message_queue.engine.sqlite.options import SQLiteOptions
from tatsumaki_py.message_queue.engine.sqlite.store import Store
from tatsumaki_py.message_queue.engine.sqlite.trouble import Trouble
from tatsumaki_py.message_queue.engine.sqlite.writer import Writer
from tatsumaki_py.message_queue.settings import ChannelSettings

__all__ = ["Clock", "Session"]

T = TypeVar("T")


class Clock:
    """The file's clock; see `store`. It follows the clock of the event loop.

    Args:
        start: the current time of the file.
    """

    def __init__(self, start: float) -> None:
        self._start = start - time.monotonic()
        self._ahead = 0.0

    def __call__(self) -> float:
        """The time, in any thread."""
        return self._start + self._ahead + time.monotonic()

    def follow(self) -> float:
        """The time, in the thread of the event loop, which may use another clock."""
        # The time never goes back.
        self._ahead = max(self._ahead, now() - time.monotonic())
        return self()


class Session:
    """An open file. Raises `EngineError` if it cannot be opened.

    Args:
        options: which file it is.
        in_use: the names of the channels with clients; the set may change.
        tell: a method, called in another thread when `Writer.done` has results. The session does
            not keep the object of the method alive.
    """

    def __init__(
        self, options: SQLiteOptions, in_use: Collection[str], tell: Callable[[], None]
    ) -> None:
        self._process = os.getpid()
        self._file = file = File(options)
        with file.opening():
            store = Store(file.writer, in_use)
            latest = "SELECT coalesce(max(time + seconds), 0) FROM places"
            (self._places_until,) = file.reader.execute(latest).fetchone()
            self._opened = store.opened
            self._killed = store.killed
            self.clock = Clock(store.opened)
            self.writer = Writer(file, store, self.clock, partial(_call, weakref.WeakMethod(tell)))
        self._reading = threading.Lock()
        self._trouble = Trouble(
            "events in %s cannot be read: %s", "events in %s can be read again", file.path
        )
        self.writing = Trouble(
            "events cannot be stored in %s: %s; publishers get a 503",
            "events can be stored in %s again",
            file.path,
        )

    def end(self) -> None:
        """Wait until everything is written, and close the file."""
        if os.getpid() == self._process:
            self.writer.end()
            self.writer.join()
            self.close()

    def close(self) -> None:
        """The thread has ended: close the file, so that another process can use it."""
        with self._reading:
            self._file.close()

    # -- reading

    def read(self, question: Callable[[sqlite3.Connection], T]) -> T:
        """Read now, in any thread. Raises 503 if the file cannot be read."""
        try:
            with self._reading:
                answer = question(self._file.reader)
        except sqlite3.Error as error:
            raise self.unreadable(error) from error
        self._trouble.worked()
        return answer

    def unreadable(self, error: Exception) -> Exception:
        """The error for clients; `error` itself is logged."""
        if not isinstance(error, sqlite3.Error):
            return error
        self._trouble.failed(error)
        return HTTPError(503, f"the events cannot be read: {said(error)}", retry_after=1)

    # -- the places of named clients

    def recall(
        self, channels: tuple[str, ...], client_id: str, settings: Mapping[str, ChannelSettings]
    ) -> Done[str | None] | None:
        """See `Engine.recall`: if the client was connected in this session, the queue itself knows
        the latest place.

        Args:
            channels: the channels that it listens to.
            client_id: its name.
            settings: the settings of the channels.
        """
        clock = self.clock.follow()
        if self.writer.waiting_place(channels, client_id):
            return None
        if clock <= self._places_until:
            found = self.read(partial(reading.place, channels=channels, client_id=client_id))
            if found is not None:
                cursor, since, seconds = found
                here = since >= self._opened or since + seconds <= clock
                return None if here else Done(cursor)
        return self._after_crash(clock - self._opened, settings)

    def _after_crash(
        self, since: float, settings: Mapping[str, ChannelSettings]
    ) -> Done[str | None] | None:
        """The place of a client that may have listened when the last process of this file was
        killed, `since` seconds ago.
        """
        if not self._killed or all(since > one.reconnect_time for one in settings.values()):
            return None
        places = [
            self.read(
                partial(
                    reading.crash_place,
                    name=name,
                    killed=self._opened,
                    recovery_time=one.recovery_time,
                    backlog=one.backlog_length,
                )
            )
            for name, one in settings.items()
        ]
        more = any(more for _, more in places)
        return Done(",".join(place for place, _ in places)) if more else None


def _call(method: weakref.WeakMethod[Callable[[], None]]) -> None:
    call = method()
    if call is not None:
        call()

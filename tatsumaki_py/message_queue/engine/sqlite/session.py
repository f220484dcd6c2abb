"""The time during which the engine has the file open."""

from __future__ import annotations

import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Collection
from functools import partial
from typing import TypeVar

from tatsumaki_py.message_queue.alarm import now
from tatsumaki_py.message_queue.engine.sqlite.file import File
from tatsumaki_py.message_queue.engine.sqlite.options import SQLiteOptions
from tatsumaki_py.message_queue.engine.sqlite.reading import place
from tatsumaki_py.message_queue.engine.sqlite.store import Store
from tatsumaki_py.message_queue.engine.sqlite.writer import Writer

__all__ = ["Clock", "Session"]

T = TypeVar("T")


class Clock:
    """The file's clock; see `store`. It follows that of the event loop.

    Args:
        start: the time that it is.
    """

    def __init__(self, start: float) -> None:
        self._start = start - time.monotonic()
        self._ahead = 0.0

    def __call__(self) -> float:
        """The time, in any thread."""
        return self._start + self._ahead + time.monotonic()

    def follow(self) -> float:
        """The time, in the thread of the event loop, whose clock may be another one."""
        # It never goes back.
        self._ahead = max(self._ahead, now() - time.monotonic())
        return self()


class Session:
    """An open file. Raises `EngineError` if it cannot be opened.

    Args:
        options: which file it is.
        in_use: the names of the channels that have clients, which may change.
        tell: a method that is called in another thread when there are results in `Writer.done`. Its
            object is not kept alive.

    Attributes:
        killed: the time at which the process was killed that used the file before; None if that one
            ended in order.
        opened: the time at which this session began.
    """

    def __init__(
        self, options: SQLiteOptions, in_use: Collection[str], tell: Callable[[], None]
    ) -> None:
        file = File(options)
        try:
            store = Store(file.writer, in_use)
            until = file.reader.execute("SELECT max(time + seconds) FROM places").fetchone()[0]
        except sqlite3.Error as error:
            file.close()
            raise file.broken(error) from None
        self.path = file.path
        self._file = file
        self.opened = store.opened
        self.killed = store.opened if store.killed else None
        self.clock = Clock(store.opened)
        self.writer = Writer(file, store, self.clock, partial(_call, weakref.WeakMethod(tell)))
        self._reader = file.reader
        self._reading = threading.Lock()
        self._places_until = until or 0.0

    def read(self, question: Callable[[sqlite3.Connection], T]) -> T:
        """Ask now, in any thread."""
        with self._reading:
            return question(self._reader)

    def close(self) -> None:
        """The thread has ended: let another process use the file."""
        with self._reading:
            self._file.close()

    def end(self) -> None:
        """Wait for the thread to end, and close the file."""
        self.writer.end()
        self.writer.join()
        self.close()

    def place(self, channels: tuple[str, ...], client_id: str) -> tuple[str | None, bool]:
        """The place of a client in the session before, and whether this session knows a later one
        or has forgotten it.
        """
        time = self.clock.follow()
        if self.writer.waiting_place(channels, client_id):
            return None, True
        if time > self._places_until:
            return None, False
        found = self.read(lambda file: place(file, channels, client_id))
        if found is None:
            return None, False
        cursor, since, seconds = found
        later = since >= self.opened or since + seconds <= time
        return None if later else cursor, later


def _call(method: weakref.WeakMethod[Callable[[], None]]) -> None:
    call = method()
    if call is not None:
        call()

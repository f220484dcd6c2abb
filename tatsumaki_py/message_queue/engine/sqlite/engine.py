"""The engine of one process that keeps all events in a file.

Rules:
1. An event is delivered when it is committed. Channels get events in the order of the commits.
2. A channel is loaded when it is first used: at once if that is quick, otherwise by the thread that
   writes. `_feeds` has the channels that are loaded; they get what is committed.
3. The event loop waits neither for the disk nor for the thread that writes. While no loop runs,
   `publish` waits, and calls the listeners before it returns.
4. A process that was forked does not touch the file that its parent has open.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import weakref
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from tatsumaki_py.done import Done
from tatsumaki_py.error import HTTPError
from tatsumaki_py.message_queue.engine import EngineError, Feed
from tatsumaki_py.message_queue.engine.sqlite import reading
from tatsumaki_py.message_queue.engine.sqlite.channels import limits_of
from tatsumaki_py.message_queue.engine.sqlite.crash import crashed
from tatsumaki_py.message_queue.engine.sqlite.file import said
from tatsumaki_py.message_queue.engine.sqlite.histories import Histories
from tatsumaki_py.message_queue.engine.sqlite.loading import newest_of
from tatsumaki_py.message_queue.engine.sqlite.options import SQLiteOptions
from tatsumaki_py.message_queue.engine.sqlite.reading import Budget, Loaded
from tatsumaki_py.message_queue.engine.sqlite.session import Session
from tatsumaki_py.message_queue.engine.sqlite.store import Write
from tatsumaki_py.message_queue.engine.sqlite.trouble import Trouble
from tatsumaki_py.message_queue.engine.sqlite.writer import Job, Question
from tatsumaki_py.message_queue.event import Entry
from tatsumaki_py.message_queue.ids import position
from tatsumaki_py.message_queue.settings import ChannelSettings

__all__ = ["SQLiteEngine"]

T = TypeVar("T")

_log = logging.getLogger("tatsumaki")

AT_ONCE = Budget(events=500, bytes=256 * 1024)
"""How much is read in the event loop: about a millisecond."""
LOOK = 0.005
"""Seconds between two looks whether the thread has ended."""

_of_parents: list[Session] = []
"""What a forked process does not touch, not even to free it."""


class SQLiteEngine:
    """Keeps events in a file.

    Raises `EngineError` if the file cannot be used.
    """

    presence = None
    """See `Engine.presence`: there is no other process."""

    def __init__(self, options: SQLiteOptions) -> None:
        self._options = options
        self._session: Session | None = None
        self._process = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._told = False
        self._outbox: list[Job] = []
        self._answers: dict[Write, asyncio.Future[list[str]]] = {}
        self._histories = Histories(self._unreadable)
        self._feeds: weakref.WeakValueDictionary[str, Feed] = weakref.WeakValueDictionary()
        self._loading: dict[str, Feed] = {}
        self._in_use: set[str] = set()
        self._writing = Trouble(
            "events cannot be stored in %s: %s; publishers get a 503",
            "events are stored in %s again",
        )
        self._reading = Trouble("events in %s cannot be read: %s", "events in %s are read again")
        self._open()

    # -- publishing

    def publish(
        self, feed: Feed, bodies: Sequence[bytes], *, key: str | None = None, quiet: bool = False
    ) -> Awaitable[list[str]]:
        """See `Engine.publish`."""
        if not bodies and key is None:
            return Done([])
        session = self._open()
        if bodies:
            feed.reserve()
        if self._feeds.get(feed.name) is not feed and feed.name not in self._loading:
            self.open(feed)
        session.clock.follow()
        write = Write(feed.name, bodies, key, quiet, limits_of(feed.settings))
        loop = self._send_soon(write)
        if loop is not None:
            answer = self._answers[write] = loop.create_future()
            return answer
        self._send()
        session.writer.wait()
        self._collect()
        if write.error is not None:
            raise write.error
        return Done(write.ids)

    def _send_soon(self, job: Job) -> asyncio.AbstractEventLoop | None:
        """Give a job to the thread at the end of this iteration of the loop, which is returned.
        Without a loop, call `_send`.
        """
        self._outbox.append(job)
        loop = asyncio._get_running_loop()
        if loop is None:
            return None
        if loop is not self._loop:
            self._loop, self._told = loop, False
            loop.call_soon(self._collect)
        elif len(self._outbox) > 1:
            return loop
        loop.call_soon(self._send)
        return loop

    def _send(self) -> None:
        jobs, self._outbox = self._outbox, []
        if jobs:
            self._open().writer.put(jobs)

    def _tell(self) -> None:
        """There are results. Called in the thread that writes."""
        loop = self._loop
        if loop is not None and not self._told:
            self._told = True
            try:
                loop.call_soon_threadsafe(self._collect)
            except RuntimeError:
                # It is closed; the next one looks by itself.
                self._told = False

    def _collect(self) -> None:
        """Take the results."""
        self._told = False
        session = self._session
        if session is not None:
            self._take(session)

    def _take(self, session: Session) -> None:
        done = session.writer.done
        while done:
            job = done.popleft()
            if isinstance(job, Question):
                job.tell(job)
                continue
            writes, events = [job], list(job.events)
            # Consecutive events of one channel are one delivery.
            while done and isinstance(done[0], Write) and done[0].name == job.name:
                writes.append(done.popleft())  # type: ignore[arg-type]
                events += writes[-1].events
            stored = [event for write in writes if write.error is None for event in write.events]
            if stored:
                self._deliver(job.name, stored)
            for write in writes:
                self._answer(write)
        self._writing.is_now(session.writer.trouble, session.path)

    def _answer(self, write: Write) -> None:
        answer = self._answers.pop(write, None)
        if answer is None or answer.done() or answer.get_loop().is_closed():
            return
        if write.error is None:
            answer.set_result(write.ids)
            return
        answer.set_exception(write.error)
        if isinstance(write.error, HTTPError) and write.error.code == 503:
            # The log says it, once. The publisher need not wait for the answer.
            answer.exception()

    def _deliver(self, name: str, events: list[Entry]) -> None:
        feed = self._feeds.get(name)
        if feed is None:
            return
        if events[0].prev != feed.top:
            # It was loaded after these were committed.
            top = position(feed.top)
            events = [event for event in events if position(event.id) > top]
        if events and events[0].prev == feed.top:
            feed.accept(events)
        elif events:
            self.open(feed)

    # -- channels

    def open(self, feed: Feed) -> None:
        """See `Engine.open`."""
        try:
            self._load(feed)
        except (HTTPError, EngineError):
            # The log says why. Clients that come are told.
            self._feeds.pop(feed.name, None)

    def _load(self, feed: Feed) -> None:
        """Load a channel, at once or soon."""
        running = asyncio._get_running_loop() is not None
        budget = AT_ONCE if running else None
        loaded = self._read(partial(newest_of, feed=feed, budget=budget))
        if loaded is not None:
            self._loaded(feed, loaded)
            return
        self._feeds.pop(feed.name, None)
        self._loading[feed.name] = feed
        self._send_soon(
            Question(partial(newest_of, feed=feed, budget=None), partial(self._loaded_late, feed))
        )

    def _loaded_late(self, feed: Feed, question: Question) -> None:
        if self._loading.get(feed.name) is not feed:
            return
        del self._loading[feed.name]
        if question.error is not None:
            feed.fail(self._unreadable(question.error))
        else:
            self._loaded(feed, question.answer)

    def _loaded(self, feed: Feed, loaded: Loaded) -> None:
        self._feeds[feed.name] = feed
        feed.load(loaded.top, loaded.events)

    def attach(self, feed: Feed) -> None:
        """See `Engine.attach`."""
        self._in_use.add(feed.name)
        if feed.name in self._loading:
            return
        fed = self._feeds.get(feed.name) is feed
        # Another thread may have opened it while events were on their way.
        if not fed or self._read(partial(reading.top, name=feed.name)) != feed.top:
            self._load(feed)

    def detach(self, feed: Feed) -> None:
        """See `Engine.detach`."""
        self._in_use.discard(feed.name)
        if self._session is not None:
            self._session.writer.left(feed.name)

    def forget(self, feed: Feed) -> None:
        """See `Engine.forget`."""
        self._in_use.discard(feed.name)
        for feeds in (self._feeds, self._loading):
            if feeds.get(feed.name) is feed:
                del feeds[feed.name]
        feed.unload()

    # -- questions

    def history(self, feed: Feed, cursor: str, limit: int) -> asyncio.Future[list[Entry] | None]:
        """See `Engine.history`."""
        self._open()
        answer, question = self._histories.ask(feed, cursor, limit)
        if question is not None:
            self._send_soon(question)
        return answer

    def recall(self, channels: tuple[str, ...], client_id: str) -> Done[str | None] | None:
        """See `Engine.recall`: a client that was here in this session is known best in memory."""
        session = self._open()
        cursor, later = session.place(channels, client_id)
        if cursor is not None:
            return Done(cursor)
        if later:
            return None
        settings = {name: self._settings(name) for name in channels}
        return crashed(session, settings, self._read)

    def _settings(self, name: str) -> ChannelSettings:
        feed = self._feeds.get(name) or self._loading.get(name)
        return ChannelSettings() if feed is None else feed.settings

    def remember(
        self, channels: tuple[str, ...], client_id: str, cursor: str, seconds: float
    ) -> None:
        """See `Engine.remember`."""
        try:
            session = self._open()
        except EngineError as error:
            _log.error("the places of clients are lost: %s", error)
            return
        session.writer.remember((channels, client_id, cursor, session.clock.follow(), seconds))

    # -- the file

    def _open(self) -> Session:
        """The open file. `EngineError` if it cannot be opened."""
        if os.getpid() != self._process:
            self._leave_to_parent()
        if self._session is None:
            self._session = Session(self._options, self._in_use, self._tell)
            # A program that forgets `close` loses nothing when it ends.
            self._finalizer = weakref.finalize(self, self._session.end)
        return self._session

    def _leave_to_parent(self) -> None:
        self._process = os.getpid()
        if self._session is not None:
            _of_parents.append(self._session)
            self._finalizer.detach()
        self._forget_all()
        self._answers.clear()
        self._outbox.clear()

    def _forget_all(self) -> None:
        self._session = None
        self._feeds.clear()
        self._loading.clear()
        self._histories.clear()

    async def close(self) -> None:
        """See `Engine.close`: what was published is stored before this returns."""
        if self._session is None or os.getpid() != self._process:
            return
        self._send()
        session = self._session
        session.writer.end()
        while not session.writer.ended:
            await asyncio.sleep(LOOK)
        self._finalizer.detach()
        session.close()
        self._take(session)
        if self._session is session:
            self._forget_all()

    def _read(self, question: Callable[[sqlite3.Connection], T]) -> T:
        """Ask the file, and wait for its answer. 503 if it cannot be read."""
        session = self._open()
        try:
            answer = session.read(question)
        except sqlite3.Error as error:
            raise self._unreadable(error) from error
        self._reading.is_now("", session.path)
        return answer

    def _unreadable(self, error: Exception) -> Exception:
        if not isinstance(error, sqlite3.Error):
            return error
        self._reading.is_now(said(error), self._options.path)
        return HTTPError(503, f"the events cannot be read: {said(error)}", retry_after=1)

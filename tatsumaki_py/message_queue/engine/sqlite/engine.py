"""The engine that keeps all events of one process in a file.

Rules:
1. An event is delivered after it is committed. Channels get events in the order of the commits.
2. The event loop never waits for a write or for the writer thread. While no loop runs, `publish`
   waits until its events are committed, and calls the listeners before it returns.
3. Before the process ends, normally or by an exception, published events are stored.
4. A forked process does not touch the file that its parent has open.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import weakref
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from tatsumaki_py.done import Done
from tatsumaki_py.error import HTTPError
from tatsumaki_py.message_queue.engine import EngineError, Feed
from tatsumaki_py.message_queue.engine.sqlite.channels import limits_of
from tatsumaki_py.message_queue.engine.sqlite.feeds import Feeds
from tatsumaki_py.message_queue.engine.sqlite.file import said
from tatsumaki_py.message_queue.engine.sqlite.options import SQLiteOptions
from tatsumaki_py.message_queue.engine.sqlite.session import Session
from tatsumaki_py.message_queue.engine.sqlite.store import Write
from tatsumaki_py.message_queue.engine.sqlite.writer import Job, Question
from tatsumaki_py.message_queue.event import Entry

__all__ = ["SQLiteEngine"]

_log = logging.getLogger("tatsumaki")

MAX_WAITING = 64 * 1024 * 1024
"""Bytes of events that may wait for the disk. A publish beyond this limit fails with 503."""
LOOK = 0.005
"""Seconds between two checks of whether the thread has ended."""

_of_parents: list[Session] = []
"""Objects that a forked process must not touch, not even to free them."""


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
        self._told = self._waking = self._finishing = False
        self._waiting = 0
        self._answers: dict[Write, asyncio.Future[list[str]]] = {}
        self._late: list[Callable[[], object]] = []
        self._feeds = Feeds(self)
        self.session()

    # -- publishing

    def publish(
        self,
        feed: Feed,
        bodies: Sequence[bytes],
        *,
        key: str | None = None,
        idempotency_key: str | None = None,
        quiet: bool = False,
    ) -> Awaitable[list[str]]:
        """See `Engine.publish`."""
        if not bodies and idempotency_key is None:
            return Done([])
        session = self.session()
        if self._waiting > MAX_WAITING:
            error = HTTPError(503, "too many events wait for the disk", retry_after=1)
            session.writing.failed(error)
            raise error
        if bodies:
            feed.reserve()
        behind = self._feeds.prepare(feed)
        session.clock.follow()
        limits = limits_of(feed.settings)
        write = Write(
            feed.name,
            bodies,
            key=key,
            idempotency_key=idempotency_key,
            quiet=quiet,
            limits=limits,
            behind=behind,
        )
        self._waiting += write.size
        loop = self._send(write)
        if loop is not None:
            answer = self._answers[write] = loop.create_future()
            return answer
        session.writer.wait()
        self._collect()
        if write.error is not None:
            raise write.error
        return Done(write.ids)

    def _send(self, job: Job) -> asyncio.AbstractEventLoop | None:
        """Give a job to the thread. The thread starts it at the end of this iteration of the loop.
        Returns the loop. If there is none, the caller must call `Writer.wait`.
        """
        if not self.session().writer.add(job):
            self._late.append(partial(self._send, job))
        loop = asyncio._get_running_loop()
        if loop is None:
            return None
        if loop is not self._loop:
            self._loop, self._told, self._waking = loop, False, False
            loop.call_soon(self._collect)
        if not self._waking:
            self._waking = True
            loop.call_soon(self._wake)
        return loop

    def _wake(self) -> None:
        self._waking = False
        if self._session is not None:
            self._session.writer.wake()

    def _tell(self) -> None:
        """There are results. Called in the writer thread."""
        loop = self._loop
        if loop is not None and not self._told:
            self._told = True
            try:
                loop.call_soon_threadsafe(self._collect)
            except RuntimeError:
                # The loop is closed: `_send` arranges that the next loop takes the results.
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
            elif isinstance(job, Exception):
                session.writing.failed(job)
            else:
                writes = [job]
                # Deliver consecutive events of one channel together.
                while done and isinstance(done[0], Write) and done[0].name == job.name:
                    writes.append(done.popleft())  # type: ignore[arg-type]
                self._deliver(session, writes)

    def _deliver(self, session: Session, writes: Sequence[Write]) -> None:
        stored: list[Entry] = []
        for write in writes:
            self._waiting -= write.size
            if write.error is None:
                stored += write.events
                session.writing.worked()
            elif isinstance(write.error, sqlite3.Error):
                session.writing.failed(write.error)
                text = f"the event cannot be stored: {said(write.error)}"
                write.error = HTTPError(503, text, retry_after=1)
        if stored:
            self._feeds.deliver(writes[0].name, stored)
        for write in writes:
            self._answer(write)

    def _answer(self, write: Write) -> None:
        answer = self._answers.pop(write, None)
        if answer is None or answer.done() or answer.get_loop().is_closed():
            return
        if write.error is None:
            answer.set_result(write.ids)
            return
        answer.set_exception(write.error)
        if isinstance(write.error, HTTPError) and write.error.code == 503:
            # The error is logged already: asyncio must not log it if no code awaits the answer.
            answer.exception()

    # -- channels

    def open(self, feed: Feed) -> None:
        """See `Engine.open`."""
        self._feeds.open(feed)

    def attach(self, feed: Feed) -> None:
        """See `Engine.attach`."""
        self._feeds.attach(feed)

    def detach(self, feed: Feed) -> None:
        """See `Engine.detach`."""
        self._feeds.in_use.discard(feed.name)
        if self._session is not None:
            self._session.writer.left(feed.name)

    def forget(self, feed: Feed) -> None:
        """See `Engine.forget`."""
        self._feeds.forget(feed)

    def history(self, feed: Feed, cursor: str, limit: int) -> Awaitable[list[Entry] | None]:
        """See `Engine.history`."""
        return self._feeds.history(feed, cursor, limit)

    def ask(self, question: Question) -> None:
        """See `Reads.ask`."""
        self._send(question)

    # -- the places of named clients

    def recall(self, channels: tuple[str, ...], client_id: str) -> Done[str | None] | None:
        """See `Engine.recall`."""
        settings = {name: self._feeds.settings(name) for name in channels}
        return self.session().recall(channels, client_id, settings)

    def remember(
        self, channels: tuple[str, ...], client_id: str, cursor: str, seconds: float
    ) -> None:
        """See `Engine.remember`."""
        try:
            session = self.session()
        except EngineError as error:
            _log.error("the places of clients are lost: %s", error)
            return
        if not session.writer.remember(
            (channels, client_id, cursor, session.clock.follow(), seconds)
        ):
            self._late.append(partial(self.remember, channels, client_id, cursor, seconds))

    # -- the file

    def session(self) -> Session:
        """See `Reads.session`."""
        if os.getpid() != self._process:
            self._leave_to_parent()
        if self._session is not None and self._session.writer.over and not self._finishing:
            self._finish(self._session)
        if self._session is None:
            self._session = Session(self._options, self._feeds.in_use, self._tell)
            # Even a program that does not call `close` loses nothing when it ends.
            self._finalizer = weakref.finalize(self, self._session.end)
        return self._session

    def _leave_to_parent(self) -> None:
        self._process = os.getpid()
        if self._session is not None:
            _of_parents.append(self._session)
            self._finalizer.detach()
        self._session = None
        self._waiting = 0
        self._feeds.clear()
        self._answers.clear()
        self._late.clear()

    async def close(self) -> None:
        """See `Engine.close`: published events are stored before this returns."""
        session = self._session
        if session is None or os.getpid() != self._process:
            return
        session.writer.end()
        while not session.writer.ended:
            await asyncio.sleep(LOOK)
        if self._session is session:
            self._finish(session)

    def _finish(self, session: Session) -> None:
        """The thread has ended, because of `close` or an error: close the file."""
        self._finishing = True
        try:
            self._take(session)
        finally:
            self._finishing = False
            self._finalizer.detach()
            self._session = None
            session.close()
            self._feeds.clear()
        # Callbacks may have published meanwhile. Their calls open the file again.
        late, self._late = self._late, []
        for call in late:
            call()

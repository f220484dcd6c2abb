"""Whether the log of a channel is loaded, and the queries to the engine for events and places.

Rules:
1. `Engine.attach` is called once, when the first client begins to listen to the channel or the
   first caller of `ready` begins to wait for it. `Engine.detach` is called once, when none of them
   is left.
2. An error of the engine is raised where its answer is awaited. Where no answer is awaited, the
   error is logged. If the client has left meanwhile, the error is dropped.
3. Events are put before the log only if they end at its `floor`. Otherwise the log is not changed,
   and a client that needs them gets a gap.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

from tatsumaki_py.error import HTTPError
from tatsumaki_py.message_queue.engine import Engine, Feed
from tatsumaki_py.message_queue.event import Entry
from tatsumaki_py.message_queue.log import EventLog

__all__ = ["Loadable", "Loading", "recalled", "safely"]

_log = logging.getLogger("tatsumaki")

T = TypeVar("T")


class Loadable(Feed, Protocol):
    """A channel, as its `Loading` sees it."""

    log: EventLog

    def extend(self, events: Sequence[Entry]) -> None:
        """Put events before the log, because a client is about to read them."""


def safely(name: str, call: Callable[..., None], *args: Any) -> bool:
    """Make a call to the engine about the channel `name`, and log an exception. Returns whether the
    call succeeded.
    """
    try:
        call(*args)
    except Exception:
        method = getattr(call, "__name__", "a method")
        _log.exception("%s of the engine raised for channel %r", method, name)
        return False
    return True


def recalled(
    engine: Engine, channels: tuple[str, ...], client_id: str
) -> asyncio.Future[str | None] | None:
    """See `Engine.recall`."""
    try:
        recall = engine.recall(channels, client_id)
    except Exception as error:
        recall = _raise(error)
    return None if recall is None else _asked(recall)


class Loading:
    """The state of one channel's log. (It does not refer to the channel, to avoid a cycle.)"""

    __slots__ = ("_attached", "_waiting", "loaded")

    def __init__(self) -> None:
        self.loaded = False
        self._attached = False
        self._waiting: asyncio.Future[None] | None = None

    # -- for the channel and its audience

    def attach(self, feed: Loadable, engine: Engine) -> None:
        """A client listens to the channel, or a caller of `ready` waits for it."""
        if not self._attached:
            self._attached = True
            try:
                engine.attach(feed)
            except Exception as error:
                self._attached = False
                self.fail(feed.name, error)

    def detach(self, feed: Loadable, engine: Engine) -> None:
        """No client listens to the channel, and no caller waits for it any more."""
        if self._attached:
            self._attached = False
            safely(feed.name, engine.detach, feed)

    async def ready(self, feed: Loadable, engine: Engine) -> None:
        """Wait until the log is loaded. Raises the error that `fail` is called with."""
        while not self.loaded:
            # Other callers still wait if this one is cancelled.
            await asyncio.shield(self._future(feed, engine))

    def _future(self, feed: Loadable, engine: Engine) -> asyncio.Future[None]:
        waiting = self._waiting
        if waiting is None or waiting.get_loop().is_closed():
            waiting = self._waiting = asyncio.get_running_loop().create_future()
        self.attach(feed, engine)
        return waiting

    def locate(
        self, feed: Loadable, engine: Engine, name: str | None, cursor: str | None
    ) -> Awaitable[str | None] | None:
        """See `Source.locate`."""
        recall = None if name is None else recalled(engine, (feed.name,), name)
        if self.loaded and recall is None:
            if cursor is None or feed.log.known(cursor) == cursor:
                return None
            history = _history(feed, engine, cursor)
            if history is None:
                return None
            return _extend(feed, engine, cursor, history, feed.log.floor)
        loading = None if self.loaded else self._future(feed, engine)
        return self._locate(feed, engine, loading, recall, cursor)

    async def _locate(
        self,
        feed: Loadable,
        engine: Engine,
        loading: asyncio.Future[None] | None,
        recall: asyncio.Future[str | None] | None,
        cursor: str | None,
    ) -> str | None:
        try:
            if loading is not None:
                await asyncio.shield(loading)
            await self.ready(feed, engine)
            if recall is not None:
                cursor = await recall or cursor
        finally:
            if recall is not None:
                recall.cancel()
        if cursor is None or feed.log.known(cursor) == cursor:
            return cursor
        history = _history(feed, engine, cursor)
        return await _extend(feed, engine, cursor, history, feed.log.floor)

    # -- for the engine

    def done(self) -> None:
        """The log is loaded."""
        self.loaded = True
        waiting = self._taken()
        if waiting is not None:
            waiting.set_result(None)

    def lost(self) -> None:
        """The engine has stopped feeding the log."""
        self.loaded = self._attached = False

    def fail(self, name: str, error: Exception) -> None:
        """The log cannot be loaded at the moment."""
        if not isinstance(error, HTTPError):
            _log.error("channel %r could not be loaded", name, exc_info=error)
        waiting = self._taken()
        if waiting is not None:
            waiting.set_exception(error)
            # Mark the error as handled: all waiting callers may be gone.
            waiting.exception()

    def _taken(self) -> asyncio.Future[None] | None:
        waiting, self._waiting = self._waiting, None
        over = waiting is None or waiting.done() or waiting.get_loop().is_closed()
        return None if over else waiting


_History = asyncio.Future[list[Entry] | None]


def _history(feed: Loadable, engine: Engine, cursor: str) -> _History | None:
    """Query the events after `cursor`, up to the number for which the log has room."""
    limit = int(min(feed.settings.buffer_length, 1 << 31)) - len(feed.log)
    try:
        history = engine.history(feed, cursor, max(limit, 0))
    except Exception as error:
        history = _raise(error)
    return None if history is None else _asked(history)


async def _extend(
    feed: Loadable, engine: Engine, cursor: str, history: _History | None, floor: str
) -> str:
    """Put the events after `cursor` before the log, unless some of them are lost. `floor` is where
    the log began when `history` was called.
    """
    log = feed.log
    while history is not None:
        events = await history
        if log.known(cursor) == cursor:
            break
        # The log may begin earlier by now, because another query has extended it.
        ends = [index for index, event in enumerate(events or ()) if event.id == log.floor]
        if events and ends:
            feed.extend(events[: ends[0] + 1])
            break
        # If the log begins elsewhere, it was loaded again or extended: query again.
        history = None if log.floor == floor else _history(feed, engine, cursor)
        floor = log.floor
    return cursor


def _asked(answer: Awaitable[T]) -> asyncio.Future[T]:
    """The engine's answer. An error counts as handled, because the client may already have left."""
    asked = asyncio.ensure_future(answer)
    asked.add_done_callback(lambda asked: asked.cancelled() or asked.exception())
    return asked


async def _raise(error: Exception) -> Any:
    raise error

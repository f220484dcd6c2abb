"""The channels of this process, and their reads from the file.

Rule: a channel is loaded immediately if that is quick, otherwise by the writer thread. Loaded
    channels get each committed event.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Sequence
from functools import partial
from typing import Protocol

from tatsumaki_py.error import HTTPError
from tatsumaki_py.message_queue.engine import EngineError, Feed
from tatsumaki_py.message_queue.engine.sqlite import reading
from tatsumaki_py.message_queue.engine.sqlite.file import broken
from tatsumaki_py.message_queue.engine.sqlite.reading import Budget, Loaded
from tatsumaki_py.message_queue.engine.sqlite.session import Session
from tatsumaki_py.message_queue.engine.sqlite.writer import Question
from tatsumaki_py.message_queue.event import Entry
from tatsumaki_py.message_queue.ids import position
from tatsumaki_py.message_queue.settings import ChannelSettings

__all__ = ["Feeds", "Reads"]

AT_ONCE = Budget(events=500, bytes=256 * 1024)
"""The limit of a read in the event loop: about a millisecond."""
RETRY = 1.0
"""Seconds until a failed load is retried, if the channel has clients."""

Answer = asyncio.Future[list[Entry] | None]
Asked = tuple[str, str, str, int]


class Reads(Protocol):
    """The engine."""

    def session(self) -> Session:
        """The open file. Raises `EngineError` if it cannot be opened."""

    def ask(self, question: Question) -> None:
        """Let the writer thread answer a question."""


class Feeds:
    """The channels of this process.

    Args:
        engine: reads from the file for them.

    Attributes:
        in_use: the names of the channels that have clients.
    """

    def __init__(self, engine: Reads) -> None:
        self._engine = engine
        self.in_use: set[str] = set()
        self._fed: weakref.WeakValueDictionary[str, Feed] = weakref.WeakValueDictionary()
        self._loading: dict[str, Feed] = {}
        self._histories: dict[Asked, list[Answer]] = {}

    def clear(self) -> None:
        """Stop feeding all channels, because the file is closed."""
        self._fed.clear()
        self._loading.clear()
        self._histories.clear()

    def settings(self, name: str) -> ChannelSettings:
        """The settings of a channel."""
        feed = self._fed.get(name) or self._loading.get(name)
        return ChannelSettings() if feed is None else feed.settings

    # -- loading

    def open(self, feed: Feed) -> None:
        """See `Engine.open`."""
        try:
            self._load(feed)
        except (HTTPError, EngineError):
            # Clients that arrive get the error.
            self._fed.pop(feed.name, None)

    def _load(self, feed: Feed) -> None:
        """Load a channel, immediately or soon."""
        running = asyncio._get_running_loop() is not None
        budget = AT_ONCE if running else None
        loaded = self._engine.session().read(partial(reading.newest, feed=feed, budget=budget))
        if loaded is None:
            self._load_soon(feed)
        else:
            self._loaded(feed, loaded)

    def _load_soon(self, feed: Feed) -> None:
        self._fed.pop(feed.name, None)
        self._loading[feed.name] = feed
        ask = partial(reading.newest, feed=feed, budget=None)
        self._engine.ask(Question(ask, partial(self._loaded_late, feed)))

    def _loaded_late(self, feed: Feed, question: Question) -> None:
        if self._loading.get(feed.name) is not feed:
            return
        del self._loading[feed.name]
        if question.error is None:
            self._loaded(feed, question.answer)
            return
        feed.fail(self._engine.session().unreadable(question.error))
        loop = asyncio._get_running_loop()
        if loop is not None:
            loop.call_later(RETRY, self._retry, weakref.ref(feed))

    def _retry(self, weak: weakref.ref[Feed]) -> None:
        feed = weak()
        if feed is not None and feed.name in self.in_use and not self._knows(feed):
            self._load_soon(feed)

    def _loaded(self, feed: Feed, loaded: Loaded) -> None:
        self._fed[feed.name] = feed
        feed.load(loaded.top, loaded.events, loaded.kept)

    def _knows(self, feed: Feed) -> bool:
        return self._fed.get(feed.name) is feed or self._loading.get(feed.name) is feed

    # -- feeding

    def prepare(self, feed: Feed) -> str | None:
        """Events of the channel are about to be written. Returns the place of the client that is
        furthest behind; None if the channel is not loaded.
        """
        if not self._knows(feed):
            self.open(feed)
        return feed.behind if self._fed.get(feed.name) is feed else None

    def deliver(self, name: str, events: Sequence[Entry]) -> None:
        """Events of one channel are in the file."""
        feed = self._fed.get(name)
        if feed is None:
            return
        if events[0].prev != feed.top:
            # The channel was loaded after these events were committed.
            top = position(feed.top)
            events = [event for event in events if position(event.id) > top]
        if events and events[0].prev == feed.top:
            feed.accept(events)
        elif events:
            self.open(feed)

    def attach(self, feed: Feed) -> None:
        """See `Engine.attach`."""
        self.in_use.add(feed.name)
        if self._loading.get(feed.name) is feed:
            return
        fed = self._fed.get(feed.name) is feed
        # Another thread may have opened the channel while events were being written.
        top = partial(reading.top, name=feed.name)
        if not fed or self._engine.session().read(top) != feed.top:
            self._load(feed)

    def forget(self, feed: Feed) -> None:
        """See `Engine.forget`."""
        self.in_use.discard(feed.name)
        for feeds in (self._fed, self._loading):
            if feeds.get(feed.name) is feed:
                del feeds[feed.name]
        feed.unload()

    # -- older events. Many clients may reconnect at one place: they share a question

    def history(self, feed: Feed, cursor: str, limit: int) -> Answer:
        """See `Engine.history`."""
        answer: Answer = asyncio.get_running_loop().create_future()
        asked = feed.name, cursor, feed.floor, limit
        waiting = self._histories.get(asked)
        if waiting is not None:
            waiting.append(answer)
            return answer
        waiting = self._histories[asked] = [answer]
        ask = partial(reading.between, feed=feed, cursor=cursor, end=feed.floor, limit=limit)
        self._engine.ask(Question(ask, partial(self._answer, asked, waiting)))
        return answer

    def _answer(self, asked: Asked, waiting: list[Answer], question: Question) -> None:
        if self._histories.get(asked) is waiting:
            del self._histories[asked]
        error = question.error
        told = None if error is None else self._engine.session().unreadable(error)
        for answer in waiting:
            if answer.done() or answer.get_loop().is_closed():
                continue
            if told is None or broken(error):
                # The events on a corrupt page are lost: the client gets a gap.
                answer.set_result(question.answer)
            else:
                answer.set_exception(told)

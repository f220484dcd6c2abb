"""One channel, as this process knows it.

Rules:
1. Events that follow the log's top are appended; known events are skipped. Otherwise the channel
   has missed events, and asks Redis for them, one query at a time.
2. Messages that arrive while a query is in flight wait for its answer. If there are too many of
   them, they are dropped, and Redis is asked again.
3. Clients get a gap only for events that Redis no longer has, or if an event in Redis does not
   follow the previous one, for example after a script that Redis stopped halfway.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from tatsumaki_py.message_queue.engine import Feed
from tatsumaki_py.message_queue.engine.redis.keys import Keys
from tatsumaki_py.message_queue.engine.redis.wire import (
    Mark,
    Message,
    entries_of,
    following,
    made,
    unbroken,
)
from tatsumaki_py.message_queue.event import Entry
from tatsumaki_py.message_queue.ids import position

__all__ = ["RedisChannel"]

MAX_WAITING = 1000
"""Maximum number of messages that wait for an answer from Redis."""
MAX_WAITING_SIZE = 4 * 1024 * 1024
"""Maximum bytes of these messages."""
RECENT = 32
"""How many ids are remembered as being in the log. After a message with older events, Redis is
asked.
"""


class RedisChannel:
    """Feeds one channel with events from Redis.

    Attributes:
        feed: the channel.
        keys: its keys.
        loaded: whether its log is loaded.
        asking: whether a query to Redis is in flight.
        stale: whether Redis must be asked again.
        subscribed: whether Redis has confirmed its subscription at least once.
        linger: the timer that ends the subscription.
        waiters: futures that wait for the answer to the current query.
        arrivals: functions to call as soon as the event of an id is in the log.
        late: the timer that calls these functions if the events take too long.
        used: when the expiry of its keys was last renewed, by the loop's clock in seconds.
    """

    __slots__ = (
        "_cursor",
        "_recent",
        "_size",
        "_waiting",
        "arrivals",
        "asking",
        "feed",
        "keys",
        "late",
        "linger",
        "loaded",
        "stale",
        "subscribed",
        "used",
        "waiters",
    )

    def __init__(self, feed: Feed, keys: Keys) -> None:
        self.feed = feed
        self.keys = keys
        self.loaded = self.asking = self.subscribed = False
        self.stale = True
        self.arrivals: list[tuple[str, Callable[[], None]]] = []
        self.late: asyncio.TimerHandle | None = None
        self.linger: asyncio.TimerHandle | None = None
        self.used = 0.0
        self.waiters: list[asyncio.Future[None]] = []
        self._cursor = ""
        self._recent: dict[str, None] = {}
        self._waiting: list[bytes] = []
        self._size = 0

    # -- published events

    def heard(self, data: bytes) -> bool:
        """A message has arrived. Returns whether Redis must be asked for missing events."""
        if self.loaded and self._take(data):
            return False
        if not self.asking:
            return self.loaded
        self._waiting.append(data)
        self._size += len(data)
        if len(self._waiting) > MAX_WAITING or self._size > MAX_WAITING_SIZE:
            self._drop_waiting()
            self.stale = True
        return False

    def accepted(
        self, prev: str, ids: Sequence[str], bodies: Sequence[bytes], marks: Sequence[Mark]
    ) -> None:
        """Redis has accepted events of this process; their message may arrive later."""
        if self.loaded and prev == self.feed.top:
            self._accept(made(self.feed.name, prev, ids, bodies, marks))

    def _take(self, data: bytes) -> bool:
        """Append the events of a message. Returns whether no event is missing."""
        message = Message(data)
        feed = self.feed
        if message.prev == feed.top:
            self._accept(message.entries(feed.name))
            return True
        return message.last == feed.top or message.last in self._recent

    def _accept(self, events: Sequence[Entry]) -> None:
        recent = self._recent
        recent[events[-1].id] = None
        if len(recent) > RECENT:
            del recent[next(iter(recent))]
        self.feed.accept(events)

    # -- events in Redis

    def question(self) -> list[bytes | str | int]:
        """Begin a query. Returns the first arguments of `scripts.RECOVER`: which events the log
        has, and which are wanted.
        """
        self.asking, self.stale = True, False
        self._cursor = self.feed.top
        settings = self.feed.settings
        most = int(max(min(settings.buffer_length, 1 << 31), 1))
        backlog = int(min(settings.backlog_length, most))
        return [self._cursor, "" if self.loaded else backlog, most]

    def answered(self, reply: Sequence[Any]) -> bool:
        """Process the answer from Redis. Returns whether Redis must be asked again."""
        known, top, rows = reply[0], reply[1].decode(), reply[2]
        self.asking = False
        feed = self.feed
        events = entries_of(feed.name, rows)
        went_on = self.loaded and feed.top != self._cursor
        if went_on:
            # Messages with events that follow the log have arrived meanwhile.
            events = following(events, feed.top)
        whole = unbroken(events)
        follows = not events or (len(whole) == len(events) and events[0].prev == feed.top)
        if self.loaded and follows and (known or went_on):
            if events:
                self._note(events)
                feed.accept(events)
        else:
            self._note(whole)
            # Events before a hole do not get into the log, but may be the last of their keys.
            older = [*entries_of(feed.name, reply[4]), *events[: len(events) - len(whole)]]
            # Redis may have lost the stream but not its newest id.
            whole = whole if whole and whole[-1].id == top else []
            feed.load(top, whole, _kept(older, whole[0].prev if whole else top))
            self.loaded = True
        if feed.top != top and position(feed.top) < position(top):
            # There were too many events for one answer.
            self.stale = True
        return self._merge()

    def _note(self, events: Sequence[Entry]) -> None:
        recent = self._recent
        for event in events:
            recent[event.id] = None
        while len(recent) > RECENT:
            del recent[next(iter(recent))]

    def _merge(self) -> bool:
        """Append the waiting messages. Returns whether an event is missing."""
        waiting = self._waiting
        self._drop_waiting()
        return self.stale or not all(self._take(data) for data in waiting)

    def has(self, id: str) -> bool:
        """Whether the log has reached the event of that id."""
        top = self.feed.top
        return self.loaded and (top == id or position(top) > position(id))

    def arrive(self, everything: bool = False) -> None:
        """Call the functions whose events have arrived, or all of them."""
        arrivals, self.arrivals = self.arrivals, []
        for id, arrived in arrivals:
            if everything or self.has(id):
                arrived()
            else:
                self.arrivals.append((id, arrived))
        if not self.arrivals and self.late is not None:
            self.late.cancel()
            self.late = None

    def failed(self) -> None:
        """A query has failed, or its answer or a message could not be processed."""
        self.asking = False
        self.stale = True
        self._drop_waiting()

    def _drop_waiting(self) -> None:
        self._waiting = []
        self._size = 0

    def end_linger(self) -> None:
        """Stop the timer: a client listens again, or the channel is dropped."""
        if self.linger is not None:
            self.linger.cancel()
            self.linger = None


def _kept(events: Sequence[Entry], floor: str) -> list[Entry]:
    """Those of `events` that have a key and are older than a log that begins at `floor`."""
    begin = position(floor)
    found = {
        position(event.id): event
        for event in events
        if event.key is not None and position(event.id) <= begin
    }
    return [found[place] for place in sorted(found)]

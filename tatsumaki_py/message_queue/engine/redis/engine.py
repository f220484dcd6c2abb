"""The Redis engine.

Rules:
1. All objects of an event loop are in a `Session`. `close` ends the session; the next call opens a
   new one, which feeds the same channels again.
2. Every event goes to Redis first, which assigns its id and its place in the order.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from redis.exceptions import ResponseError

from tatsumaki_py.done import Done
from tatsumaki_py.error import HTTPError
from tatsumaki_py.message_queue.engine import Clients, Feed
from tatsumaki_py.message_queue.engine.redis.clock import RedisClock
from tatsumaki_py.message_queue.engine.redis.connect import Connections
from tatsumaki_py.message_queue.engine.redis.feeding import Feeding
from tatsumaki_py.message_queue.engine.redis.history import Histories
from tatsumaki_py.message_queue.engine.redis.keys import Keys, process_channel
from tatsumaki_py.message_queue.engine.redis.listening import Listener
from tatsumaki_py.message_queue.engine.redis.options import CLUSTER, RedisOptions
from tatsumaki_py.message_queue.engine.redis.outage import Backoff, Outage
from tatsumaki_py.message_queue.engine.redis.positions import Positions
from tatsumaki_py.message_queue.engine.redis.presence.clients import RedisPresence
from tatsumaki_py.message_queue.engine.redis.presence.shared import SharedPresence
from tatsumaki_py.message_queue.engine.redis.publishing import Outbox
from tatsumaki_py.message_queue.engine.redis.questions import Questions
from tatsumaki_py.message_queue.engine.redis.wire import marked
from tatsumaki_py.message_queue.event import Entry
from tatsumaki_py.message_queue.ids import position

__all__ = ["RedisEngine", "Session"]


class Session:
    """The engine in one event loop.

    Attributes:
        loop: the event loop.
        process: a random name of this process, for the duration of the session.
        own: the pub/sub channel of this process.
        questions: runs scripts and commands.
        feeding: feeds the channels.
        outage: whether Redis can be reached.
    """

    def __init__(self, options: RedisOptions, clients: Clients) -> None:
        self.loop = asyncio.get_running_loop()
        self._options = options
        # Each session has a new name, because the numbers of its calls start again from 1.
        self.process = secrets.token_hex(8)
        connections = self._connections = Connections(options)
        self.outage = Outage(options.place, self._changed)
        self.questions = Questions(connections, self.outage)
        clock = RedisClock()
        self.feeding = Feeding(options, self.questions, self.outage, clock)
        self.outbox = Outbox(
            self.process, connections, options, self.outage, clock, self.feeding.accepted
        )
        self.histories = Histories(self.questions)
        self.own = process_channel(options.prefix, self.process)
        self.sharded = options.kind == CLUSTER
        self.presence = RedisPresence(options, self.process, self.questions, self, clients)
        self._listener: Listener | None = None
        self._positions: Positions | None = None
        self._pinger: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Find out whether Redis can be reached, and log immediately if it cannot."""
        self.questions.ping(self.own)

    def listen(self) -> None:
        """Open the pub/sub connection, unless it is open."""
        if self._listener is None:
            self.presence.begin()
            self._listener = Listener(
                self._connections,
                self._options,
                self.outage,
                self.own,
                partial(self.publish, self.own),
                self._message,
                self._subscribed,
            )
            self.feeding.subscriptions = self._listener
            self._listener.add(self.presence.all)
            self._positions = Positions(
                self._connections,
                self.questions,
                self._options,
                self.feeding.channels,
                self.feeding.ask,
            )

    def send(self, process: str, data: bytes) -> asyncio.Future[int]:
        """Send a message to another process. Returns how many processes received it."""
        return self.publish(process_channel(self._options.prefix, process), data)

    def publish(self, channel: bytes, data: bytes) -> asyncio.Future[int]:
        """Send a message to all subscribers of `channel`. Returns how many there were."""
        return self.questions.command(self._connections.publish_command, channel, data)

    def _message(self, channel: bytes, data: bytes) -> None:
        if channel == self.own:
            self.presence.told(data)
        elif channel == self.presence.all:
            self.presence.control.heard(data)
        else:
            self.feeding.message(channel, data)

    def _subscribed(self, channel: bytes) -> None:
        if channel == self.presence.all:
            self.presence.subscribed()
        else:
            self.feeding.subscribed(channel)

    def _changed(self) -> None:
        """Redis has gone away or come back."""
        self.feeding.changed()
        if not self.outage.away:
            self.presence.again()
        if self._pinger is None and self.outage.away:
            self._pinger = self.loop.create_task(self._ping())

    async def _ping(self) -> None:
        """Ping Redis until it is back and accepts writes."""
        backoff = Backoff(self._options.backoff, min(1.0, self._options.max_backoff))
        try:
            while self.outage.away:
                await asyncio.sleep(backoff.pause())
                with contextlib.suppress(HTTPError, ResponseError):
                    await self.questions.ping(self.own)
                    if self._listener is not None:
                        self._listener.hurry()
        finally:
            self._pinger = None

    async def history(self, feed: Feed, cursor: str, limit: int) -> list[Entry] | None:
        """See `Engine.history`."""
        channel = self.feeding.channels.get(feed.name)
        if max(position(cursor)) >= 1 << 64:
            # Redis could not parse such a cursor, which cannot be one of its ids.
            return None
        if channel is not None and position(cursor) > position(feed.top):
            # The event of this cursor has not arrived yet.
            await self.feeding.catch_up(channel)
            if position(cursor) > position(feed.top):
                return None
        return await self.histories.ask(feed, Keys(self._options.prefix, feed.name), cursor, limit)

    async def close(self) -> list[Feed]:
        """Send waiting events, and close all connections. Returns the fed channels."""
        await self.outbox.close()
        await self.presence.close()
        if self._pinger is not None:
            self._pinger.cancel()
            await asyncio.gather(self._pinger, return_exceptions=True)
        if self._positions is not None:
            await self._positions.close()
        if self._listener is not None:
            await self._listener.close()
        await self.questions.close()
        feeds = self.feeding.close()
        self.outage.end()
        await self._connections.close()
        # The loop closes the sockets in its next iteration, and may end right after this.
        await asyncio.sleep(0)
        return feeds

    def abandon(self) -> list[Feed]:
        """The loop has ended without `close`. Returns the fed channels."""
        feeds = self.feeding.close()
        self.outbox.abandon()
        self.outage.end()
        return feeds


class RedisEngine:
    """Keeps events in Redis, which several processes share.

    Attributes:
        presence: see `Engine.presence`.
    """

    def __init__(self, options: RedisOptions) -> None:
        self.options = options
        self.presence = SharedPresence(self.session)
        self._session: Session | None = None
        self._dormant: dict[str, Feed] = {}
        self._closing = False

    def session(self) -> Session:
        """The session of the running loop. Raises `RuntimeError` without a loop."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise RuntimeError(_NO_LOOP) from None
        session = self._session
        if session is None or session.loop is not loop:
            if session is not None:
                self._dormant |= {feed.name: feed for feed in session.abandon()}
            session = self._session = Session(self.options, self.presence.clients)
            self._wake()
        return session

    def _wake(self) -> None:
        """Feed the channels that were fed before the engine was closed."""
        dormant, self._dormant = self._dormant, {}
        for feed in dormant.values():
            self.attach(feed)

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
        session = self.session()
        if not bodies and idempotency_key is None:
            return Done([])
        keys, mark = self._keys(feed), marked(key, quiet)
        return session.outbox.publish(feed, keys, bodies, mark, idempotency_key)

    def _keys(self, feed: Feed) -> Keys:
        return Keys(self.options.prefix, feed.name)

    def open(self, feed: Feed) -> None:
        """See `Engine.open`: the log is empty until it is loaded."""

    def attach(self, feed: Feed) -> None:
        """See `Engine.attach`."""
        if self._closing:
            self._dormant[feed.name] = feed
            return
        session = self.session()
        session.listen()
        session.feeding.attach(feed)

    def detach(self, feed: Feed) -> None:
        """See `Engine.detach`."""
        self._in_loop(Feeding.detach, feed)

    def forget(self, feed: Feed) -> None:
        """See `Engine.forget`."""
        self._in_loop(Feeding.drop, feed)

    def _in_loop(self, call: Callable[[Feeding, Feed], None], feed: Feed) -> None:
        """Make a call in the session's loop, which may not be the running one."""
        self._dormant.pop(feed.name, None)
        session = self._session
        if session is None or session.loop.is_closed():
            feed.unload()
            return
        try:
            here = asyncio.get_running_loop() is session.loop
        except RuntimeError:
            here = False
        if here:
            call(session.feeding, feed)
        else:
            session.loop.call_soon_threadsafe(call, session.feeding, feed)

    def history(self, feed: Feed, cursor: str, limit: int) -> Awaitable[list[Entry] | None]:
        """See `Engine.history`."""
        return self.session().history(feed, cursor, limit)

    def recall(self, channels: tuple[str, ...], client_id: str) -> Awaitable[str | None]:
        """See `Engine.recall`."""
        return self.session().presence.recall(channels, client_id)

    def remember(
        self, channels: tuple[str, ...], client_id: str, cursor: str, seconds: float
    ) -> None:
        """See `Engine.remember`."""
        # Without a loop, nothing can be sent.
        with contextlib.suppress(RuntimeError):
            self.session().presence.remember(channels, client_id, cursor, seconds)

    async def close(self) -> None:
        """See `Engine.close`."""
        session, self._session = self._session, None
        if session is None:
            return
        self._closing = True
        try:
            if session.loop is asyncio.get_running_loop():
                feeds = await session.close()
            else:
                feeds = session.abandon()
            for feed in feeds:
                feed.unload()
        finally:
            self._closing = False
            if self._session is not None:
                # The engine was used during the close, and has a new session.
                self._wake()


_NO_LOOP = (
    "no event loop runs: publish in a handler, a coroutine or a function given to app.on_start; "
    "in a program without a loop, use tatsumaki_py.publisher.Publisher"
)

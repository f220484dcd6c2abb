"""The channels that this process feeds with events from Redis.

Rules:
1. A channel is fed from `attach` until `linger` seconds after `detach`. Its events are queried
   immediately, so that clients need not wait for the subscription. They are queried again whenever
   Redis confirms a subscription, so that no event in between is missed.
2. While Redis is away, loaded logs stay unchanged. Clients that wait for other logs are told to
   retry later.
3. An error in one channel does not affect the others. The error is logged (see `sparing`), and the
   channel is queried again, with pauses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from secrets import randbits
from typing import Any, Protocol

from tatsumaki_py.error import HTTPError
from tatsumaki_py.message_queue.engine import Feed
from tatsumaki_py.message_queue.engine.redis.channel import RedisChannel
from tatsumaki_py.message_queue.engine.redis.clock import RedisClock
from tatsumaki_py.message_queue.engine.redis.keys import Keys
from tatsumaki_py.message_queue.engine.redis.options import RedisOptions
from tatsumaki_py.message_queue.engine.redis.outage import Backoff, Outage, unavailable
from tatsumaki_py.message_queue.engine.redis.questions import Questions
from tatsumaki_py.message_queue.engine.redis.scripts import RECOVER
from tatsumaki_py.message_queue.engine.redis.sparing import Sparing
from tatsumaki_py.message_queue.engine.redis.wire import Mark, stored_settings

__all__ = ["Feeding", "Subscriptions"]

ARRIVAL = 0.25
"""Maximum seconds that a publisher waits until its events are in the log of this process."""
TELL = 1.0
"""Seconds between two notices to waiting clients that Redis is away."""


class Subscriptions(Protocol):
    """The methods of a listener that this file uses."""

    def add(self, channel: bytes) -> None:
        """Subscribe to `channel`."""

    def remove(self, channel: bytes) -> None:
        """Unsubscribe from `channel`."""


class Feeding:
    """The channels of one event loop.

    Attributes:
        channels: the fed channels, by name.
        subscriptions: the listener.
    """

    subscriptions: Subscriptions

    def __init__(
        self, options: RedisOptions, questions: Questions, outage: Outage, clock: RedisClock
    ) -> None:
        self.channels: dict[str, RedisChannel] = {}
        self._by_messages: dict[bytes, RedisChannel] = {}
        self._options = options
        self._questions = questions
        self._outage = outage
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._backoff = Backoff(options.backoff, options.max_backoff)
        self._retry: asyncio.TimerHandle | None = None
        self._teller: asyncio.TimerHandle | None = None
        self._errors = Sparing()

    # -- for the engine

    def attach(self, feed: Feed) -> None:
        """See `Engine.attach`."""
        channel = self.channels.get(feed.name)
        if channel is not None:
            channel.end_linger()
        if channel is None or channel.feed is not feed:
            if channel is not None:
                channel.arrive(everything=True)
                _end(channel.waiters, None)
            channel = RedisChannel(feed, Keys(self._options.prefix, feed.name))
            self.channels[feed.name] = channel
            self._by_messages[channel.keys.messages] = channel
            self.subscriptions.add(channel.keys.messages)
            self.ask(channel)
        if not channel.loaded and self._outage.away:
            self._tell_soon(0)

    def detach(self, feed: Feed) -> None:
        """See `Engine.detach`."""
        channel = self.channels.get(feed.name)
        if channel is not None and channel.feed is feed:
            channel.end_linger()
            channel.linger = self._loop.call_later(self._options.linger, self.drop, feed)

    def drop(self, feed: Feed) -> None:
        """Stop feeding the channel."""
        channel = self.channels.get(feed.name)
        if channel is not None and channel.feed is feed:
            channel.end_linger()
            del self.channels[feed.name]
            del self._by_messages[channel.keys.messages]
            self.subscriptions.remove(channel.keys.messages)
            channel.arrive(everything=True)
            _end(channel.waiters, None)
        feed.unload()

    def accepted(
        self,
        feed: Feed,
        prev: str,
        ids: Sequence[str],
        bodies: Sequence[bytes],
        marks: Sequence[Mark],
        arrived: Callable[[], None],
    ) -> None:
        """Redis has accepted events of this process. `arrived` is called when the listeners in this
        process have the events, or when that takes too long.
        """
        channel = self.channels.get(feed.name)
        if channel is None or channel.feed is not feed:
            arrived()
            return
        self._guarded(channel, channel.accepted, prev, ids, bodies, marks)
        if channel.has(ids[-1]):
            arrived()
            return
        channel.arrivals.append((ids[-1], arrived))
        if channel.late is None:
            channel.late = self._loop.call_later(ARRIVAL, self._overdue, channel)

    def _overdue(self, channel: RedisChannel) -> None:
        """An overdue message may be lost."""
        channel.arrive(everything=True)
        if self.channels.get(channel.feed.name) is channel:
            self.ask(channel)

    # -- for the listener

    def message(self, name: bytes, data: bytes) -> None:
        """A message has arrived."""
        channel = self._by_messages.get(name)
        if channel is None:
            return
        if self._guarded(channel, channel.heard, data):
            self.ask(channel)
        if channel.arrivals:
            channel.arrive()

    def subscribed(self, name: bytes) -> None:
        """The messages of a channel arrive from now on."""
        channel = self._by_messages.get(name)
        if channel is not None:
            channel.subscribed = True
            self.ask(channel)

    def _guarded(self, channel: RedisChannel, call: Callable[..., Any], *args: Any) -> Any:
        """Make a call. If it raises, the channel may have missed events."""
        try:
            return call(*args)
        except Exception:
            name = channel.feed.name
            self._errors.error("events of channel %r could not be processed", name, exc_info=True)
            channel.failed()
            if not channel.loaded:
                channel.feed.fail(unavailable("the channel could not be loaded"))
            self._ask_again()
            return False

    # -- queries

    def ask(self, channel: RedisChannel) -> None:
        """Query the events of the channel; if a query is in flight, query again after it."""
        channel.stale = True
        if not channel.asking:
            options = self._options
            question = channel.question()
            settings = stored_settings(channel.feed.settings)
            if not channel.loaded:
                channel.used = self._loop.time()
            words = [*question, settings, int(1000 * options.top_time), randbits(30)]
            answer = self._loop.create_task(self._recover(channel, words))
            answer.add_done_callback(partial(self._answered, channel))

    async def _recover(
        self, channel: RedisChannel, words: Sequence[bytes | str | int]
    ) -> list[Any]:
        """The reply of `RECOVER`, and the last event of each key if the reply replaces the log."""
        keys, kept_keys = channel.keys, channel.feed.settings.kept_keys
        reply: list[Any] = await self._questions.run(RECOVER, (keys.stream, keys.top), words)
        if channel.loaded and reply[0]:
            return [*reply, ()]
        # The script does not do this, because a script cannot read a key that does not exist while
        # the slot is moving in a cluster. Events published between the two commands follow the log.
        count = int(max(min(kept_keys, 1 << 31), 1))
        rows = await self._questions.command("XREVRANGE", keys.last, "+", "-", "COUNT", count)
        return [*reply, rows[::-1] if kept_keys else ()]

    def _answered(self, channel: RedisChannel, answer: asyncio.Task[list[Any]]) -> None:
        # Retrieve the error, because asyncio would log it otherwise.
        error = None if answer.cancelled() else answer.exception()
        if self.channels.get(channel.feed.name) is not channel or answer.cancelled():
            return
        # Take the waiters first: a callback may start another query, which has its own waiters.
        waiters, channel.waiters = channel.waiters, []
        if error is None:
            reply = answer.result()
            self._clock.note(int(reply[3]))
            if self._guarded(channel, channel.answered, reply):
                self.ask(channel)
            elif not channel.stale:
                self._backoff.reset()
        else:
            channel.failed()
            if not isinstance(error, HTTPError):
                self._errors.error("channel %r could not be read: %s", channel.feed.name, error)
                error = unavailable("Redis refused to return the events")
            if not channel.loaded:
                channel.feed.fail(error)
            self._ask_again()
        if channel.arrivals:
            channel.arrive(everything=error is not None)
        _end(waiters, error)

    def _ask_again(self) -> None:
        """Query the stale channels again, after a pause."""
        if self._retry is None:
            self._retry = self._loop.call_later(self._backoff.pause(), self._ask_stale)

    def _ask_stale(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        for channel in [*self.channels.values()]:
            if channel.stale and not channel.asking:
                self.ask(channel)

    async def catch_up(self, channel: RedisChannel) -> None:
        """Wait until the channel has the events that Redis had at the time of the call, or until
        Redis fails to answer.
        """
        if channel.asking:
            # Redis may have answered the query in flight before this call.
            await self._asked(channel)
        if self.channels.get(channel.feed.name) is channel:
            self.ask(channel)
            await self._asked(channel)

    def _asked(self, channel: RedisChannel) -> asyncio.Future[None]:
        waiting: asyncio.Future[None] = self._loop.create_future()
        channel.waiters.append(waiting)
        return waiting

    # -- while Redis is away

    def changed(self) -> None:
        """Redis has gone away or come back."""
        if self._outage.away:
            self._tell_soon(0)
        else:
            self._ask_stale()

    def _tell_soon(self, seconds: float) -> None:
        if self._teller is None:
            self._teller = self._loop.call_later(seconds, self._tell)

    def _tell(self) -> None:
        """Tell the clients that wait for a log to retry later."""
        self._teller = None
        if not self._outage.away:
            return
        waiting = [channel for channel in self.channels.values() if not channel.loaded]
        for channel in waiting:
            channel.feed.fail(unavailable())
        if waiting:
            self._tell_soon(TELL)

    def close(self) -> list[Feed]:
        """Stop feeding all channels. Returns them."""
        for timer in (self._retry, self._teller):
            if timer is not None:
                timer.cancel()
        feeds = [channel.feed for channel in self.channels.values()]
        for channel in self.channels.values():
            channel.end_linger()
            channel.arrive(everything=True)
            _end(channel.waiters, unavailable())
        self.channels.clear()
        self._by_messages.clear()
        return feeds


def _end(waiters: Sequence[asyncio.Future[None]], error: BaseException | None) -> None:
    for waiter in waiters:
        if waiter.done() or waiter.get_loop().is_closed():
            continue
        if error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(error)
            # The waiting task may be gone.
            waiter.exception()

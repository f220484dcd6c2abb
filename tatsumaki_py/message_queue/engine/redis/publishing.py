"""Sends the events that this process publishes.

Rules:
1. The events of a channel are accepted in the order of the calls of `publish`. One pipeline is in
   flight at a time, with at most one call for each channel.
2. Events that are published to one channel in one iteration of the loop, without an idempotency
   key, form one call and are accepted together.
3. A call whose reply is lost is repeated, and Redis recognizes it. Each publish gets an answer
   within `publish_timeout`, and Redis does not accept its events later: the call has a deadline by
   the clock of Redis, which is queried before the first call.
4. Waiting events have at most `MAX_WAITING` bytes.
5. If one node of a cluster is away, the calls for it are put aside, and other channels continue. A
   channel sends no other call while its call is put aside.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice

from tatsumaki_py.error import HTTPError, ServerStopping
from tatsumaki_py.message_queue.engine import Feed
from tatsumaki_py.message_queue.engine.redis.absent import NodeAway
from tatsumaki_py.message_queue.engine.redis.answer import Answer
from tatsumaki_py.message_queue.engine.redis.calls import (
    MAX_EVENTS,
    MAX_SIZE,
    Accepted,
    Late,
    check_size,
    publish_call,
    read_reply,
)
from tatsumaki_py.message_queue.engine.redis.clock import RedisClock
from tatsumaki_py.message_queue.engine.redis.connect import Connections
from tatsumaki_py.message_queue.engine.redis.keys import Keys
from tatsumaki_py.message_queue.engine.redis.node import Call as Command
from tatsumaki_py.message_queue.engine.redis.options import RedisOptions
from tatsumaki_py.message_queue.engine.redis.outage import Backoff, Outage, unavailable
from tatsumaki_py.message_queue.engine.redis.pending import (
    PendingCall,
    PendingCalls,
    answer_all,
)
from tatsumaki_py.message_queue.engine.redis.replies import (
    is_forgotten,
    is_full,
    is_passing,
    may_not,
)
from tatsumaki_py.message_queue.engine.redis.scripts import PUBLISH, PUBLISH_SHARDED
from tatsumaki_py.message_queue.engine.redis.sparing import Sparing
from tatsumaki_py.message_queue.engine.redis.wire import Mark, size_of, stored_settings

__all__ = ["MAX_WAITING", "Outbox"]

MAX_WAITING = 64 * 1024 * 1024
"""Bytes of events that may wait for Redis. A publish beyond this limit fails with 503."""
CALLS = 200
"""Maximum number of calls in one pipeline."""
PIPELINE = 8 * 1024 * 1024
"""Bytes of events after which no more calls are added to a pipeline."""

ASIDE = 0.2
"""Seconds until a call that was put aside is sent again."""
CLOSE = 3.0
"""Maximum seconds that a stopping server waits for Redis."""

_log = logging.getLogger("tatsumaki")


TakesAccepted = Callable[
    [Feed, str, Sequence[str], Sequence[bytes], Sequence[Mark], Callable[[], None]], None
]


class Outbox:
    """Publishes for one event loop.

    Args:
        process: the name of this process.
        accepted: called for events that Redis has accepted, with the feed, the newest id before
            them, their ids, bodies and marks, and a function that answers the publishers.
        knows_settings: whether the feeds have the settings of their channels. Otherwise the
            settings stored by a server apply.
    """

    def __init__(
        self,
        process: str,
        connections: Connections,
        options: RedisOptions,
        outage: Outage,
        clock: RedisClock,
        accepted: TakesAccepted,
        *,
        knows_settings: bool = True,
    ) -> None:
        self._process = process
        self._connections = connections
        self._options = options
        self._outage = outage
        self._clock = clock
        self._accepted = accepted
        self._knows_settings = knows_settings
        self._loop = asyncio.get_running_loop()
        sharded = connections.publish_command == "SPUBLISH"
        self._script = PUBLISH_SHARDED if sharded else PUBLISH
        self._number = 0
        self._waiting: dict[str, deque[PendingCall]] = {}
        self._aside: dict[str, deque[PendingCall]] = {}
        self._pending = PendingCalls(options.publish_timeout)
        self._task: asyncio.Task[None] | None = None
        self._backoff = Backoff(options.backoff, min(1.0, options.max_backoff))
        self._refusals = Sparing()

    def publish(
        self,
        feed: Feed,
        keys: Keys,
        bodies: Sequence[bytes],
        mark: Mark,
        idempotency_key: str | None,
    ) -> Answer:
        """See `Engine.publish`. Each event has `mark`. Raises 413 if the events are too many for
        one call.
        """
        check_size(bodies)
        size = size_of(bodies)
        if self._pending.size + size > MAX_WAITING:
            raise unavailable("too many events wait for Redis")
        call = self._call(feed, keys, idempotency_key, len(bodies), size)
        answer = self._pending.add(call, bodies, mark, size)
        self._begin()
        return answer

    def _call(
        self, feed: Feed, keys: Keys, idempotency_key: str | None, count: int, size: int
    ) -> PendingCall:
        """A call with room for more events."""
        calls = self._aside.get(feed.name) or self._waiting.get(feed.name)
        if calls is None:
            calls = self._waiting[feed.name] = deque()
        elif idempotency_key is None and calls:
            last = calls[-1]
            fits = len(last.bodies) + count <= MAX_EVENTS and last.size + size <= MAX_SIZE
            # Redis would recognize the repeated call, and ignore events added since.
            is_open = not (last.sent or last.over)
            if is_open and last.idempotency_key is None and fits and last.feed is feed:
                return last
        self._number += 1
        call = self._pending.begin(feed, keys, idempotency_key, self._number)
        calls.append(call)
        return call

    # -- one pipeline after another

    def _begin(self) -> None:
        if self._waiting and self._task is None:
            self._task = self._loop.create_task(self._send())
            self._task.add_done_callback(self._sent)

    async def _send(self) -> None:
        while self._waiting:
            await self._deliver(self._next())

    def _sent(self, task: asyncio.Task[None]) -> None:
        """The task that sends pipelines has ended."""
        self._task = None
        if task.cancelled():
            self.abandon()
        elif error := task.exception():
            _log.error("events could not be published", exc_info=error)
            # Otherwise the events of this pipeline would wait for their deadline.
            self._fail_all(HTTPError(503, "the events could not be published"))
        self._begin()
        self._pending.rest()

    def _next(self) -> list[PendingCall]:
        """The calls of the next pipeline, the first of each channel."""
        calls: list[PendingCall] = []
        size = 0
        for name in [*islice(self._waiting, CALLS)]:
            queue = self._waiting.pop(name)
            call = queue.popleft()
            if queue:
                # The channel's next call comes after those of the other channels.
                self._waiting[name] = queue
            if not call.over:
                calls.append(call)
                size += call.size
            if size > PIPELINE:
                break
        return calls

    async def _deliver(self, calls: list[PendingCall]) -> None:
        attempt = 0
        while calls:
            began = self._loop.time()
            calls, failure = self._read(calls, await self._run(calls))
            if failure is None:
                self._outage.worked("commands")
                self._backoff.reset()
            elif calls:
                attempt += 1
                # The first failure may be due to an idle connection that was closed.
                if attempt > 1:
                    self._outage.failed("commands", failure, began)
                    await asyncio.sleep(self._backoff.pause())
                calls = [call for call in calls if not call.over]

    async def _run(self, calls: Sequence[PendingCall]) -> Sequence[object]:
        if not self._clock.known:
            (time,) = await self._connections.run([("TIME",)])
            if isinstance(time, Exception):
                return [time] * len(calls)
            self._clock.note(1000 * int(time[0]) + int(time[1]) // 1000)
        for call in calls:
            call.sent = True
        return await self._connections.run(self._commands(calls))

    def _commands(self, calls: Sequence[PendingCall]) -> list[Command]:
        commands: list[Command] = []
        for call in calls:
            words = publish_call(
                call.keys,
                self._process,
                call.number,
                call.bodies,
                call.marks,
                settings=stored_settings(call.feed.settings) if self._knows_settings else "",
                top_time=self._options.top_time,
                idempotency_key=call.idempotency_key,
                deadline=self._clock.at(call.deadline),
            )
            if call.by_text:
                commands.append(("EVAL", self._script.text, *words))
            else:
                commands.append(("EVALSHA", self._script.digest, *words))
        return commands

    def _read(
        self, calls: Sequence[PendingCall], replies: Sequence[object]
    ) -> tuple[list[PendingCall], object]:
        """Handle replies. Returns the calls to repeat, and the reason."""
        again: list[PendingCall] = []
        failure: object = None
        for call, reply in zip(calls, replies, strict=True):
            if isinstance(reply, bytes):
                if self._answered(call, reply):
                    again.append(call)
            elif is_forgotten(reply):
                call.by_text = True
                again.append(call)
            elif isinstance(reply, NodeAway):
                self._put_aside(call)
            elif is_passing(reply):
                failure = reply
                again.append(call)
            else:
                self._refused(call, reply)
        return again, failure

    def _put_aside(self, call: PendingCall) -> None:
        name = call.feed.name
        calls = self._waiting.pop(name, deque())
        calls.appendleft(call)
        if not self._aside:
            self._loop.call_later(ASIDE, self._take_up)
        self._aside[name] = calls

    def _take_up(self) -> None:
        """Send the calls that were put aside."""
        aside, self._aside = self._aside, {}
        self._waiting |= aside
        self._begin()

    def _answered(self, call: PendingCall, reply: bytes) -> bool:
        """Handle one reply. Returns whether to repeat the call."""
        try:
            result = read_reply(reply, len(call.bodies))
        except HTTPError as error:
            self._pending.fail(call, error)
            return False
        self._clock.note(result.now)
        if isinstance(result, Late):
            # The clock of Redis was changed, or the call took too long.
            return not call.over
        self._take(call, result)
        return False

    def _take(self, call: PendingCall, result: Accepted) -> None:
        answer = partial(answer_all, call.answers, result.ids)
        self._pending.finish(call)
        if result.ids:
            self._accepted(call.feed, result.prev, result.ids, call.bodies, call.marks, answer)
        else:
            answer()

    def _refused(self, call: PendingCall, reply: object) -> None:
        """Redis has refused the events and would refuse them again."""
        text = str(reply)
        if is_full(reply):
            self._pending.fail(call, unavailable("Redis is out of memory"))
        else:
            if may_not(reply):
                text += " (the guide to engines lists the permissions of the ACL user)"
            self._refusals.error("Redis refused events of channel %r: %s", call.feed.name, text)
            error = HTTPError(503, "Redis refused the events")
            # The details are not for clients.
            error.__cause__ = reply if isinstance(reply, Exception) else None
            self._pending.fail(call, error)

    # -- the end

    def _fail_all(self, error: HTTPError) -> None:
        self._pending.fail_all(error)
        self._waiting.clear()
        self._aside.clear()

    async def close(self, wait: float | None = None) -> None:
        """Wait until all events are accepted or refused, for at most `wait` seconds (by default
        `CLOSE`). The publishers of the remaining events get an error.
        """
        self._take_up()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=CLOSE if wait is None else wait)
        self._fail_all(ServerStopping())
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._pending.rest()
        self._pending.unheard.report()

    def abandon(self) -> None:
        """The loop has ended without `close`: drop the waiting events."""
        self._fail_all(HTTPError(503, "the event loop ended before Redis confirmed the events"))
        self._pending.unheard.report()

"""The pub/sub connection of one event loop.

Rules:
1. The connection is subscribed to the channels that clients of this process use, and to the channel
   of this process.
2. A lost connection is always replaced, with pauses from `backoff` to `max_backoff`. After that,
   `subscribed` is called for each channel again, because messages may have been lost. A connection
   counts as working when Redis has confirmed a subscription, because some ACL users may connect but
   not subscribe.
3. Every `probe_interval`, the process sends itself a message through Redis. If the message does not
   come back, the connection counts as lost.
4. An error in this file, or in a function that it calls, is logged and does not end a subscription.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from itertools import islice

from redis import exceptions

from tatsumaki_py.message_queue.engine.redis.connect import Connections
from tatsumaki_py.message_queue.engine.redis.options import RedisOptions
from tatsumaki_py.message_queue.engine.redis.outage import Backoff, Outage
from tatsumaki_py.message_queue.engine.redis.subscriber import MESSAGE, SUBSCRIBED, Subscriber

__all__ = ["Listener"]

PIECE = 500
"""Maximum number of channels in one command."""
TURN = 0.005
"""Seconds for which messages are handled before other code of the loop runs."""
PROBE = b"?"
"""The beginning of a probe."""

_log = logging.getLogger("tatsumaki")


class Listener:
    """Listens for one event loop.

    Args:
        own: the channel of this process.
        probe: publishes a text on that channel.
        message: called with the channel and the data of each message.
        subscribed: called with each channel whose subscription is confirmed.
    """

    def __init__(
        self,
        connections: Connections,
        options: RedisOptions,
        outage: Outage,
        own: bytes,
        probe: Callable[[bytes], Awaitable[object]],
        message: Callable[[bytes, bytes], None],
        subscribed: Callable[[bytes], None],
    ) -> None:
        self._connections = connections
        self._options = options
        self._outage = outage
        self._own = own
        self._probe = probe
        self._message = message
        self._subscribed = subscribed
        self._loop = asyncio.get_running_loop()
        self._wanted: set[bytes] = set()
        self._changes: dict[bytes, bool] = {}
        self._subscriber: Subscriber | None = None
        self._backoff = Backoff(options.backoff, options.max_backoff)
        self._failures = 0
        self._hurry = asyncio.Event()
        self._closed = False
        self._writer: asyncio.Task[None] | None = None
        self._probes = 0
        self._returned = 0
        self._task = self._start()
        self._prober = self._loop.create_task(self._watch())

    # -- wanted subscriptions

    def add(self, channel: bytes) -> None:
        """Subscribe to `channel`."""
        self._wanted.add(channel)
        self._change(channel, True)

    def remove(self, channel: bytes) -> None:
        """Unsubscribe from `channel`."""
        self._wanted.discard(channel)
        self._change(channel, False)

    def _change(self, channel: bytes, wanted: bool) -> None:
        if self._subscriber is not None:
            # Move the latest change to the end.
            self._changes.pop(channel, None)
            self._changes[channel] = wanted
            if self._writer is None:
                self._writer = self._loop.create_task(self._write())

    async def _write(self) -> None:
        """Send the changes to Redis."""
        try:
            while self._changes and self._subscriber is not None:
                piece = [*islice(self._changes.items(), PIECE)]
                for channel, _ in piece:
                    del self._changes[channel]
                await self._subscriber.unsubscribe(*[one for one, wanted in piece if not wanted])
                await self._subscriber.subscribe(*[one for one, wanted in piece if wanted])
        except (exceptions.RedisError, OSError):
            # The reader will notice the error.
            await self._hang_up()
        finally:
            self._writer = None

    # -- the reader

    def _start(self) -> asyncio.Task[None]:
        task = self._loop.create_task(self._run())
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        """The reader has ended, because of an error or the end of the loop."""
        error = None if task.cancelled() else task.exception()
        if not self._closed:
            self._loop.call_later(self._options.backoff, self._restart, error)

    def _restart(self, error: BaseException | None) -> None:
        if not self._closed:
            _log.error("the pub/sub reader failed: restarting it", exc_info=error)
            self._task = self._start()

    async def _run(self) -> None:
        while True:
            error: object = None
            began = self._loop.time()
            try:
                await self._connect()
                await self._read()
            except (exceptions.RedisError, OSError) as failure:
                error = failure
            finally:
                await self._hang_up()
            self._failures += 1
            # The first attempt to replace a lost connection is made immediately. After a refusal,
            # the next attempt would also be refused.
            if self._failures > 1 or isinstance(error, exceptions.ResponseError):
                self._outage.failed("listening", error, began)
                await self._pause()

    async def _pause(self) -> None:
        self._hurry.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._backoff.pause()):
                await self._hurry.wait()

    def hurry(self) -> None:
        """Redis can be reached: reconnect now, without waiting for the end of the pause."""
        self._hurry.set()

    async def _connect(self) -> None:
        subscriber = await self._connections.subscriber()
        self._changes = {}
        self._returned = self._probes
        self._subscriber = subscriber
        await subscriber.subscribe(self._own)
        channels = [*self._wanted]
        for start in range(0, len(channels), PIECE):
            await subscriber.subscribe(*channels[start : start + PIECE])

    async def _hang_up(self) -> None:
        subscriber, self._subscriber = self._subscriber, None
        if subscriber is not None:
            await subscriber.close()

    async def _read(self) -> None:
        subscriber = self._subscriber
        turn = self._loop.time() + TURN
        while subscriber is not None and subscriber is self._subscriber:
            kind, channel, data = await subscriber.read()
            try:
                self._handle(kind, channel, data)
            except Exception:
                _log.exception("a message from Redis could not be handled")
            time = self._loop.time()
            if time > turn:
                await asyncio.sleep(0)
                turn = self._loop.time() + TURN

    def _handle(self, kind: bytes, channel: bytes, data: bytes) -> None:
        if kind == MESSAGE:
            if channel == self._own and data.startswith(PROBE):
                self._returned = int(data[1:])
            else:
                self._message(channel, data)
        elif kind == SUBSCRIBED:
            self._failures = 0
            self._backoff.reset()
            self._outage.worked("listening")
            if channel in self._wanted:
                self._subscribed(channel)
            elif channel != self._own:
                # The channel was removed while the connection was being opened.
                self._change(channel, False)

    # -- probes

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._options.probe_interval)
            if self._subscriber is None:
                continue
            if self._returned < self._probes:
                await self._hang_up()
                continue
            self._probes += 1
            try:
                await self._probe(PROBE + b"%d" % self._probes)
            except Exception as error:
                # Commands use another connection, so this one may still work.
                _log.debug("a probe was not sent: %s", error)
                self._returned = self._probes

    async def close(self) -> None:
        """End all subscriptions."""
        self._closed = True
        tasks = [task for task in (self._task, self._prober, self._writer) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._hang_up()

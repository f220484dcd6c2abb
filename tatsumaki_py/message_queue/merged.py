"""Several channels as one source.

Rules:
1. The source follows its channels only while a client is connected or expected back. This keeps
   the channels in use.
2. An event that one channel accepts reaches the listeners before `Channel.accept` returns.
3. The source keeps no events: each channel keeps the events that the clients need.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence

from tatsumaki_py.message_queue.alarm import Alarm, now
from tatsumaki_py.message_queue.channel import Channel
from tatsumaki_py.message_queue.lead import LeadIn, joined
from tatsumaki_py.message_queue.loading import recalled, safely
from tatsumaki_py.message_queue.merged_log import MergedLog
from tatsumaki_py.message_queue.registry import Registry
from tatsumaki_py.message_queue.source import Follower

__all__ = ["MAX_MERGED", "MergedChannels"]

MAX_MERGED = 200
"""Maximum number of channels of one queue. Cursors have about 30 characters for each channel, and
must fit in a header.
"""


class MergedChannels:
    """A `Source` over channels, which must be given in the order of their names."""

    def __init__(self, channels: Sequence[Channel], registry: Registry) -> None:
        self._channels = tuple(channels)
        self._registry = registry
        self._follower: Follower | None = None
        # The queue that the clients poll, while there are clients. Without this reference, a second
        # queue could be made for the same channels.
        self._queue: object = None
        self._alarm = Alarm()
        self.log = MergedLog([channel.log for channel in channels])
        self.key = self.log.channels
        self.width = len(self._channels)

    @property
    def reconnect_time(self) -> float:
        """The longest `reconnect_time` of the channels."""
        return max(channel.reconnect_time for channel in self._channels)

    @property
    def recovery_time(self) -> float:
        """The longest `recovery_time` of the channels."""
        return max(channel.recovery_time for channel in self._channels)

    def lately(self) -> str:
        """See `Source.lately`."""
        return ",".join([channel.lately() for channel in self._channels])

    def newcomer(self) -> tuple[str, LeadIn | None]:
        """See `Source.newcomer`: a new client gets the backlog of each channel."""
        places = [channel.newcomer() for channel in self._channels]
        return ",".join([cursor for cursor, _ in places]), joined([lead for _, lead in places])

    @property
    def loaded(self) -> bool:
        """See `Source.loaded`."""
        return all(channel.loaded for channel in self._channels)

    def locate(self, name: str | None, cursor: str | None) -> Awaitable[str | None] | None:
        """See `Source.locate`."""
        recall = None if name is None else recalled(self._registry.engine, self.key, name)
        if recall is not None:
            return self._locate(recall, cursor)
        parts = [None] * self.width if cursor is None else cursor.split(",")
        pairs = zip(self._channels, parts, strict=True)
        found = [channel.locate(None, part) for channel, part in pairs]
        wait = [place for place in found if place is not None]
        return _all(wait, cursor) if wait else None

    async def _locate(self, recall: asyncio.Future[str | None], cursor: str | None) -> str | None:
        found = await recall
        if found is not None:
            cursor = self.log.normalized(found)
        await self.ready()
        wait = self.locate(None, cursor)
        return cursor if wait is None else await wait

    async def ready(self) -> None:
        """Wait until the logs are loaded."""
        if not self.loaded:
            await _all([channel.ready() for channel in self._channels], None)

    def hold(self, cursor: str) -> None:
        """A client lags behind, at `cursor`: keep the events after it in each channel."""
        for channel, part in zip(self._channels, cursor.split(","), strict=True):
            channel.hold(part)

    def admit(self, follower: Follower) -> None:
        """See `Source.admit`."""
        self._registry.admit(self, follower, self._channels[0].settings.max_clients)
        if self._follower is None:
            self._follower = follower
            self._queue = self._registry.merged.get(self.key)
            for channel in self._channels:
                channel.join(self.key, follower)

    def watch(self) -> None:
        """Set a timer to remove the clients that do not come back."""
        if self._follower is not None:
            self._alarm.set(self._follower.due(), self._sweep)

    def watch_here(self) -> None:
        """See `Source.watch_here`."""
        if not self._alarm.due_here():
            self.watch()

    def watch_until(self, deadline: float) -> None:
        """See `Source.watch_until`."""
        if not self._alarm.due_here(deadline):
            self.watch()

    def _sweep(self) -> None:
        try:
            if self._follower is not None:
                self._follower.forget_late(now())
        finally:
            # Even if the removal of one client fails, the other clients must be removed later.
            self.watch()
        # Events that were kept for the removed clients may be dropped.
        for channel in self._channels:
            channel.trim()

    def arrive(self, name: str, hook: str) -> asyncio.Future[bool] | None:
        """See `Source.arrive`."""
        return self._registry.processes.arrive(self.key, name, hook, self.reconnect_time)

    def gone(self, name: str) -> asyncio.Future[bool] | None:
        """See `Source.gone`."""
        return self._registry.processes.gone(self.key, name)

    def leave(self, place: str, name: str) -> None:
        """See `Source.leave`."""
        remember = self._registry.engine.remember
        safely(",".join(self.key), remember, self.key, name, place, self.reconnect_time)

    def added(self) -> None:
        """One more client is known."""
        self._registry.clients += self.width

    def removed(self) -> None:
        """One client fewer is known."""
        self._registry.clients -= self.width

    def expects_nameless(self, expects: bool) -> None:
        """See `Source.expects_nameless`."""
        self._registry.nameless += self.width if expects else -self.width

    def occupied(self) -> None:
        """A client is connected."""
        self._registry.vacant.pop(self.key, None)

    def vacated(self) -> None:
        """All clients are absent."""
        if self._follower is not None:
            self._registry.vacant[self.key] = self._follower, self

    def deserted(self) -> None:
        """No client is connected or expected back."""
        self._registry.vacant.pop(self.key, None)
        self._follower = self._queue = None
        self._alarm.cancel()
        for channel in self._channels:
            channel.part(self.key)

    def holds_nothing(self) -> bool:
        """Whether no channel has an event."""
        return all(channel.holds_nothing() for channel in self._channels)


def _all(found: Sequence[Awaitable[object]], cursor: str | None) -> asyncio.Future[str | None]:
    """A future with the result `cursor`, which is done when all awaitables in `found` are done. An
    error of one of them is raised only then. Cancelling the future cancels them.
    """
    tasks = [asyncio.ensure_future(one) for one in found]
    done = asyncio.ensure_future(_after(tasks, cursor))
    # `done` may be cancelled before it has begun.
    done.add_done_callback(lambda _: _end(tasks))
    return done


async def _after(tasks: Sequence[asyncio.Future[object]], cursor: str | None) -> str | None:
    await asyncio.wait(tasks)
    for task in tasks:
        task.result()
    return cursor


def _end(tasks: Sequence[asyncio.Future[object]]) -> None:
    for task in tasks:
        if not task.cancel() and not task.cancelled():
            # One error is raised; asyncio would log the others.
            task.exception()

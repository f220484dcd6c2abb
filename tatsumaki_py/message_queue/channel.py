"""One channel, which an engine feeds: a log and its followers.

Rules:
1. No event is dropped in the middle of a delivery.
2. The channel is in the registry while it has an event or a client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Hashable, Sequence

from tatsumaki_py.counters import COUNTERS
from tatsumaki_py.message_queue.alarm import Alarm, now
from tatsumaki_py.message_queue.event import Entry
from tatsumaki_py.message_queue.ids import NOWHERE
from tatsumaki_py.message_queue.lead import LeadIn
from tatsumaki_py.message_queue.loading import Loading, safely
from tatsumaki_py.message_queue.log import EventLog
from tatsumaki_py.message_queue.registry import Registry
from tatsumaki_py.message_queue.retention import GRAIN, Retention
from tatsumaki_py.message_queue.settings import ChannelSettings
from tatsumaki_py.message_queue.source import Follower

__all__ = ["Channel"]


class Channel:
    """A channel of this process. It is a `Feed` for its engine and a `Source` for its audience."""

    width = 1

    def __init__(self, name: str, settings: ChannelSettings, registry: Registry) -> None:
        self.name = self.key = name
        self.settings = settings
        self._registry = registry
        self.log = EventLog(name, start=NOWHERE)
        self.beside = 0
        self.followers: dict[Hashable, Follower] = {}
        """The audiences with clients: that of this channel, and those of merged queues."""
        self._accepting = False
        self.retention = Retention(self.log, settings, self.followers)
        self._last_use = 0.0
        self._counted = 0
        self._alarm = Alarm()
        self._loading = Loading()
        self._waiting = 0
        registry.engine.open(self)

    # -- for an engine; see `Feed`

    @property
    def top(self) -> str:
        """The id of the newest event, or the place where an empty log begins."""
        return self.log.top

    @property
    def floor(self) -> str:
        """The place where the log begins."""
        return self.log.floor

    @property
    def behind(self) -> str:
        """See `Feed.behind`."""
        return self.retention.behind()

    def reserve(self) -> None:
        """Make room for new events. Raises 503 if there is no room for them, or no room for one
        more channel.
        """
        registry = self._registry
        if registry.size > self.settings.max_size:
            registry.make_room(self)
        if self.name not in registry.holding:
            registry.hold(self)

    def load(self, top: str, events: Sequence[Entry], kept: Sequence[Entry] = ()) -> None:
        """Replace the log."""
        self._last_use = time = now()
        start = self.log.top
        self.log.restart(top, events, time, kept)
        self._loading.done()
        for follower in tuple(self.followers.values()):
            follower.loaded()
        self._tell(start)

    def fail(self, error: Exception) -> None:
        """The log cannot be loaded at the moment."""
        self._loading.fail(self.name, error)

    def unload(self) -> None:
        """The engine has stopped feeding the log."""
        self._loading.lost()
        if self.in_use():
            self._loading.attach(self, self._registry.engine)
        elif self.log.held:
            self.release()

    def accept(self, events: Sequence[Entry]) -> None:
        """Append events, which follow the top, and deliver them."""
        self._last_use = time = now()
        start = self.log.top
        for event in events:
            event.time = time
            self.log.append(event, time)
        COUNTERS.published += len(events)
        self._tell(start)

    def _tell(self, start: str) -> None:
        """Tell the followers that there are events after `start`."""
        if self._accepting:
            # A callback has published: the pass that called it continues with the new events.
            return
        self._accepting = True
        try:
            while start != self.log.top:
                top = self.log.top
                for follower in tuple(self.followers.values()):
                    if follower.follow():
                        self.retention.hold_new(start)
                start = top
        finally:
            self._accepting = False
            self._drop()
            self._see_that_they_go()

    # -- for an audience; see `Source`

    @property
    def reconnect_time(self) -> float:
        """See `ChannelSettings.reconnect_time`."""
        return self.settings.reconnect_time

    @property
    def recovery_time(self) -> float:
        """See `ChannelSettings.recovery_time`."""
        return self.settings.recovery_time

    def lately(self) -> str:
        """See `Source.lately`."""
        return self.retention.lately()

    def newcomer(self) -> tuple[str, LeadIn | None]:
        """See `Source.newcomer`."""
        self.retention.expire()
        self._count()
        return self.log.newcomer(self.settings.backlog_length)

    def backlog(self) -> tuple[Entry, ...]:
        """The events that a new client gets, oldest first."""
        return self.log.since(*self.newcomer())

    @property
    def loaded(self) -> bool:
        """See `Source.loaded`."""
        return self._loading.loaded

    def locate(self, name: str | None, cursor: str | None) -> Awaitable[str | None] | None:
        """See `Source.locate`."""
        return self._loading.locate(self, self._registry.engine, name, cursor)

    async def ready(self) -> None:
        """Wait until the log is loaded."""
        if self._loading.loaded:
            return
        self._registry.use(self, "ready")
        self._waiting += 1
        try:
            await self._loading.ready(self, self._registry.engine)
        finally:
            self._waiting -= 1
            self._look_around()

    def extend(self, events: Sequence[Entry]) -> None:
        """Put events before the log, because a client is about to read them."""
        self.hold(events[0].prev)
        self.log.prepend(events)
        self._count()
        self.watch()

    def hold(self, cursor: str) -> None:
        """See `Source.hold`."""
        self.retention.hold(cursor)

    def admit(self, follower: Follower) -> None:
        """See `Source.admit`."""
        self._registry.admit(self, follower, self.settings.max_clients)
        self.join(self.key, follower)

    def join(self, key: Hashable, follower: Follower) -> None:
        """`follower` is about to get a client."""
        self._registry.use(self, "poll")
        if self._loading.loaded:
            # Otherwise, the first caller that waits for the log attaches the engine.
            self._loading.attach(self, self._registry.engine)
        self.followers[key] = follower

    def part(self, key: Hashable) -> None:
        """The follower of that key has lost its clients."""
        if self.followers.pop(key, None) is not None:
            self._look_around()

    def _look_around(self) -> None:
        """Detach the engine if no client is left."""
        if self.in_use():
            return
        self._loading.detach(self, self._registry.engine)
        self._registry.desert(self)
        self._last_use = now()
        self.trim()
        self.watch()

    def arrive(self, name: str, hook: str) -> asyncio.Future[bool] | None:
        """See `Source.arrive`."""
        return self._registry.processes.arrive((self.name,), name, hook, self.reconnect_time)

    def gone(self, name: str) -> asyncio.Future[bool] | None:
        """See `Source.gone`."""
        return self._registry.processes.gone((self.name,), name)

    def leave(self, place: str, name: str) -> None:
        """See `Source.leave`."""
        remember, seconds = self._registry.engine.remember, self.settings.reconnect_time
        safely(self.name, remember, (self.name,), name, place, seconds)

    def added(self) -> None:
        """One more client is known."""
        self._registry.clients += 1

    def removed(self) -> None:
        """One client fewer is known."""
        self._registry.clients -= 1

    def expects_nameless(self, expects: bool) -> None:
        """See `Source.expects_nameless`."""
        self._registry.nameless += 1 if expects else -1

    def occupied(self) -> None:
        """A client is connected."""
        self._registry.vacant.pop(self.key, None)

    def vacated(self) -> None:
        """All clients are absent."""
        self._registry.vacant[self.key] = self.followers[self.key], self

    def deserted(self) -> None:
        """No client is connected or expected back."""
        self._registry.vacant.pop(self.key, None)
        self.part(self.key)

    # -- for the registry; see `Registered`

    def in_use(self) -> bool:
        """Whether a client is connected or expected back."""
        return bool(self.followers) or self._waiting > 0

    def holds_nothing(self) -> bool:
        """Whether there is no event."""
        return not self.log.held

    def release(self) -> None:
        """Drop everything."""
        self.log.clear()
        safely(self.name, self._registry.engine.forget, self)
        self._count()
        self._alarm.cancel()
        self._registry.release(self)

    # -- dropping

    def trim(self) -> None:
        """Drop the events that need not be kept; see `retention`."""
        if not self._accepting:
            self._drop()
            self.watch()

    def _drop(self) -> None:
        self.retention.drop()
        self._count()
        if not self._counted and self.name in self._registry.deserted:
            self.release()

    def _see_that_they_go(self) -> None:
        """Like `watch`, after events were added."""
        settings = self.settings
        seconds = None if self.followers else settings.idle_timeout
        if self.log.length > settings.backlog_length:
            kept = self.retention.kept_for() + 2 * GRAIN
            seconds = kept if seconds is None else min(kept, seconds)
        if seconds is None:
            return
        latest = self._last_use + seconds
        if not self._alarm.due_by(latest):
            self.watch()

    def _count(self) -> None:
        """Report the bytes of this channel to the registry."""
        log = self.log
        size = self.beside + (log.size if log.kept is None else log.held)
        before, self._counted = self._counted, size
        self._registry.size += size - before
        if not size:
            self._registry.holding.pop(self.name, None)
        elif not before:
            # Another process may have accepted the events, without a call of `reserve` here.
            self._registry.keep(self)

    def watch(self) -> None:
        """Set a timer to drop events and to remove clients that do not come back."""
        due = self.retention.due()
        if self.name in self._registry.deserted:
            idle = self._last_use + self.settings.idle_timeout
            due = idle if due is None else min(due, idle)
        audience = self.followers.get(self.key)
        late = None if audience is None else audience.due()
        if late is not None:
            due = late if due is None else min(due, late)
        self._alarm.set(due, self._sweep)

    def watch_here(self) -> None:
        """See `Source.watch_here`."""
        if not self._alarm.due_here():
            self.watch()

    def watch_until(self, deadline: float) -> None:
        """See `Source.watch_until`."""
        if not self._alarm.due_here(deadline):
            self.watch()

    def _sweep(self) -> None:
        audience = self.followers.get(self.key)
        try:
            if audience is not None:
                audience.forget_late(now())
        finally:
            # Even if the removal of one client fails, the other clients must be removed later.
            self.watch()
        deserted = self.name in self._registry.deserted
        if deserted and now() >= self._last_use + self.settings.idle_timeout:
            self.release()
        else:
            self.trim()

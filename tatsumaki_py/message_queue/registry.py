"""The channels and the audiences of this process, and their limits.

Rules:
1. A name has only one queue while that queue is referenced: `instances` refers to it weakly, and
   `active` refers to the queues whose channel has a client or an event. Likewise for several names:
   `merged` refers to the queue weakly, and its channels refer to the audience while it has a
   client. Queues are made under `lock`, in any thread.
2. At most `max_channels` channels may hold events. A channel counts when events are published to
   it, not when it is read. To make room, the channel that has been without clients longest
   (`deserted`) is released.
3. There may be at most `max_clients` clients; a client counts once for each channel that it reads.
   To make room, an audience whose clients are all absent (`vacant`) is cleared if its channels hold
   no event, so its clients lose nothing. Audiences that expect anonymous clients are counted
   separately.
4. A forked process may use queues and an engine that its parent has only created. The first call
   that does more is recorded (`bind`), so that an error can name it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from threading import RLock
from typing import Any, NoReturn, Protocol
from weakref import WeakValueDictionary

from tatsumaki_py.counters import COUNTERS
from tatsumaki_py.error import HTTPError, ServerStopping
from tatsumaki_py.message_queue.engine import Engine, Feed, Presence
from tatsumaki_py.message_queue.engine.choose import Choice, from_environment
from tatsumaki_py.message_queue.own_settings import OwnSettings
from tatsumaki_py.message_queue.processes import Processes
from tatsumaki_py.message_queue.source import Follower
from tatsumaki_py.message_queue.thread import LoopThread

__all__ = ["Registered", "Registry", "Vacant"]


class Registered(Feed, Protocol):
    """A channel, as the registry sees it."""

    def in_use(self) -> bool:
        """Whether a client is connected or expected back."""

    def release(self) -> None:
        """Drop everything."""


class Vacant(Protocol):
    """A source, as the registry sees it."""

    @property
    def key(self) -> Hashable:
        """The name of the source."""

    @property
    def width(self) -> int:
        """The number of its channels."""

    def holds_nothing(self) -> bool:
        """Whether none of them has an event."""


class Registry:
    """The channels of this process."""

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._choice: Choice | None = None
        self.processes = Processes(self)
        self.own = OwnSettings()
        self.thread = LoopThread()
        self.lock = RLock()
        self.closed = False
        """Whether publishing has ended, because the server is stopping."""
        self.bound: str | None = None
        """The call after which a fork cannot use the queues, for an error message; None if it still
        can.
        """
        self.instances: WeakValueDictionary[str, Any] = WeakValueDictionary()
        """The queues by the names of their channels."""
        self.merged: WeakValueDictionary[tuple[str, ...], Any] = WeakValueDictionary()
        self.active: dict[str, Any] = {}
        """The queues of channels that have a client or an event."""
        self.holding: dict[str, Registered] = {}
        """Channels that hold an event."""
        self.deserted: dict[str, Registered] = {}
        """Active channels without a client, ordered by when the last one left."""
        self.vacant: dict[Hashable, tuple[Follower, Vacant]] = {}
        """Sources whose clients are all absent, ordered by when the last one left."""
        self.clients = 0
        self.nameless = 0
        """The number of channels for which anonymous clients are expected back; a channel counts
        once for each audience.
        """
        self.size = 0
        """The bytes of all channels."""

    def reset(self) -> None:
        """Forget the engine and the channels' own settings."""
        self.own.clear()
        self.closed = False
        self._choice = self._engine = self.bound = None

    # -- the engine

    @property
    def engine(self) -> Engine:
        """The engine of all channels. It is made when it is first used. Raises `EngineError` if
        that fails.
        """
        if self._engine is None:
            self._engine = self.choice.make()
            presence = self._engine.presence
            if presence is not None:
                presence.connect(self.processes)
            if asyncio._get_running_loop() is not None:
                # The engine may already have opened connections.
                self.bind("a channel was used in an event loop")
        return self._engine

    def bind(self, call: str) -> None:
        """Record that `call`, such as "publish() was called", has bound the queues
        to this process.
        """
        if self.bound is None:
            self.bound = call

    @property
    def choice(self) -> Choice:
        """The choice of the engine. Raises `EngineError` if the environment names an
        unknown one.
        """
        if self._choice is None:
            self._choice = from_environment()
        return self._choice

    def choose(self, choice: Choice) -> None:
        """Use another engine from now on. No channel may be in use."""
        self._choice, self._engine, self.bound = choice, None, None

    @property
    def presence(self) -> Presence | None:
        """See `Engine.presence`."""
        return self.engine.presence

    # -- channels

    def audience(self, channels: tuple[str, ...]) -> Follower | None:
        """See `Audiences.audience`."""
        key = channels[0] if len(channels) == 1 else channels
        queue = self.instances.get(channels[0])
        return None if queue is None else queue._channel.followers.get(key)

    def listening(self, channels: tuple[str, ...]) -> list[Follower]:
        """See `Audiences.listening`."""
        if len(channels) == 1:
            queue = self.instances.get(channels[0])
            return [] if queue is None else list(queue._channel.followers.values())
        audience = self.audience(channels)
        return [] if audience is None else [audience]

    def followers(self) -> list[Follower]:
        """The audiences with clients."""
        channels = [queue._channel for queue in self.instances.values()]
        found = [one for channel in channels for one in channel.followers.values()]
        return list({id(one): one for one in found}.values())

    def refuse(self) -> NoReturn:
        """Refuse to publish; see `closed`."""
        COUNTERS.refused["draining"] += 1
        raise ServerStopping

    def hold(self, channel: Registered) -> None:
        """`channel` is about to get an event. Raises 503 if `max_channels` channels hold events and
        all of them have clients.
        """
        while len(self.holding) >= channel.settings.max_channels:
            if not self.deserted:
                raise _full("channels")
            next(iter(self.deserted.values())).release()
        self._hold(channel)

    def keep(self, channel: Registered) -> None:
        """`channel` has got events that another process accepted. Other channels make room as far
        as possible.
        """
        settings = channel.settings
        while self.size > settings.max_size or len(self.holding) > settings.max_channels:
            longest = next((one for one in self.deserted.values() if one is not channel), None)
            if longest is None:
                break
            longest.release()
        self._hold(channel)

    def _hold(self, channel: Registered) -> None:
        self.holding[channel.name] = channel
        self._activate(channel)
        if not channel.in_use():
            self.deserted[channel.name] = channel

    def make_room(self, channel: Registered) -> None:
        """Events are about to arrive. Raises 503 if there are more than `max_size` bytes, all in
        channels with clients.
        """
        while self.size > channel.settings.max_size:
            longest = next((one for one in self.deserted.values() if one is not channel), None)
            if longest is None:
                raise _full("events")
            longest.release()

    def admit(self, source: Vacant, follower: Follower, limit: int) -> None:
        """`follower` of `source` is about to get a client. Raises 503 if there are
        already `limit`.
        """
        while self.clients + source.width > limit:
            if not self._vacate(follower):
                raise _full("clients")
        while self.nameless > limit and self._vacate(follower):
            pass

    def _vacate(self, but: Follower) -> bool:
        """Remove the audience that has been vacant longest, except `but`, from the list, and remove
        its clients if its channels have no event. Returns False if there is no such audience.
        """
        for key, (follower, source) in self.vacant.items():
            if follower is not but:
                del self.vacant[key]
                if source.holds_nothing():
                    follower.clear()
                return True
        return False

    def use(self, channel: Registered, method: str) -> None:
        """`channel` gets a client, or code waits for it: `method` was called."""
        if self.bound is None:
            self.bind(f"{method}() was called on channel {channel.name!r}")
        self._activate(channel)
        self.deserted.pop(channel.name, None)

    def _activate(self, channel: Registered) -> None:
        # The queue exists, because the caller is one of its methods, or a method of a merged queue.
        self.active[channel.name] = self.instances.get(channel.name, channel)

    def desert(self, channel: Registered) -> None:
        """`channel` has lost its last client."""
        self.deserted[channel.name] = channel

    def release(self, channel: Registered) -> None:
        """`channel` has become empty."""
        for channels in (self.deserted, self.holding, self.active):
            channels.pop(channel.name, None)


def _full(what: str) -> HTTPError:
    COUNTERS.refused[what] += 1
    return HTTPError(503, f"too many {what}")

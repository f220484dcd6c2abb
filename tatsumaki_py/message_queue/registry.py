"""Which channels there are, and how many there may be.

Rules:
1. A name has one queue as long as anybody holds it: `instances` is weak, and `active` holds those
   whose channel has a client or an event. The same is true of a set of names: `merged` is weak,
   and its channels hold the audience while it has a client. Queues are made under `lock`, in any
   thread.
2. Publishing makes a channel hold something, and there are `max_channels` of these; reading does
   not. Of those that nobody reads (`deserted`), the longest deserted makes room.
3. A client counts once for each channel that it reads, and there are `max_clients`. An audience
   whose clients are all away (`vacant`) makes room if its channels hold nothing: it has nothing to
   lose. Audiences whose clients without a name may come back are counted on their own.
"""

from __future__ import annotations

from collections.abc import Hashable
from threading import RLock
from typing import Any, Protocol
from weakref import WeakValueDictionary

from tatsumaki_py.error import HTTPError
from tatsumaki_py.message_queue.engine import Engine, Feed
from tatsumaki_py.message_queue.engine.memory import MemoryEngine
from tatsumaki_py.message_queue.own_settings import OwnSettings
from tatsumaki_py.message_queue.source import Follower
from tatsumaki_py.message_queue.thread import LoopThread

__all__ = ["Registered", "Registry", "Vacant"]


class Registered(Feed, Protocol):
    """A channel, as the registry sees it."""

    def in_use(self) -> bool:
        """Whether somebody is here or expected."""

    def release(self) -> None:
        """Drop everything."""


class Vacant(Protocol):
    """A source, as the registry sees it."""

    @property
    def key(self) -> Hashable:
        """Its name."""

    @property
    def width(self) -> int:
        """How many channels it has."""

    def holds_nothing(self) -> bool:
        """Whether no event is in any of them."""


class Registry:
    """The channels of this process."""

    def __init__(self) -> None:
        self._memory = MemoryEngine()
        self.engine: Engine = self._memory
        self.own = OwnSettings()
        self.thread = LoopThread()
        self.lock = RLock()
        self.instances: WeakValueDictionary[str, Any] = WeakValueDictionary()
        """The queues by the names of their channels."""
        self.merged: WeakValueDictionary[tuple[str, ...], Any] = WeakValueDictionary()
        self.active: dict[str, Any] = {}
        """The queues of channels that somebody reads, or that hold something."""
        self.holding: dict[str, Registered] = {}
        """Channels that hold something."""
        self.deserted: dict[str, Registered] = {}
        """Active channels that nobody reads, longest deserted first."""
        self.vacant: dict[Hashable, tuple[Follower, Vacant]] = {}
        """Sources whose clients are all away, longest vacant first."""
        self.clients = 0
        self.nameless = 0
        """Channels for which clients without a name are expected back, once for each audience."""
        self.size = 0
        """Bytes that all channels hold."""

    def reset(self) -> None:
        """Begin a new life, in which no cursor is known and no channel has settings of its own."""
        self.own.clear()
        self._memory.reset()
        self.engine = self._memory

    def hold(self, channel: Registered) -> None:
        """`channel` is about to get an event. 503 if as many hold some as there may be, and all of
        them are read.
        """
        while len(self.holding) >= channel.settings.max_channels:
            if not self.deserted:
                raise HTTPError(503, "too many channels")
            next(iter(self.deserted.values())).release()
        self._hold(channel)

    def keep(self, channel: Registered) -> None:
        """`channel` has got events that were accepted elsewhere. Others make room as far as they
        can; these are as many as clients read, and some that they have just left.
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
        """Events are about to come. 503 if all that is held is needed, and too much."""
        while self.size > channel.settings.max_size:
            longest = next((one for one in self.deserted.values() if one is not channel), None)
            if longest is None:
                raise HTTPError(503, "too many events")
            longest.release()

    def admit(self, source: Vacant, follower: Follower, limit: int) -> None:
        """`follower` of `source` is about to get a client. 503 if there are `limit` already."""
        while self.clients + source.width > limit:
            if not self._vacate(follower):
                raise HTTPError(503, "too many clients")
        while self.nameless > limit and self._vacate(follower):
            pass

    def _vacate(self, but: Follower) -> bool:
        """Forget the clients of the audience that is vacant longest, if it holds nothing. False if
        there is none but that one.
        """
        for key, (follower, source) in self.vacant.items():
            if follower is not but:
                del self.vacant[key]
                if source.holds_nothing():
                    follower.clear()
                return True
        return False

    def use(self, channel: Registered) -> None:
        """`channel` gets a client."""
        self._activate(channel)
        self.deserted.pop(channel.name, None)

    def _activate(self, channel: Registered) -> None:
        # Somebody holds its queue: a method of it, or of one with more channels, led here.
        self.active[channel.name] = self.instances.get(channel.name, channel)

    def desert(self, channel: Registered) -> None:
        """`channel` lost its last client."""
        self.deserted[channel.name] = channel

    def release(self, channel: Registered) -> None:
        """`channel` is empty."""
        for channels in (self.deserted, self.holding, self.active):
            channels.pop(channel.name, None)

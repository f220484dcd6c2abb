"""Which channels there are, and how many there may be.

Rules:
1. A name has one queue as long as anybody holds it: `instances` is weak, and `active` holds those
   that have a client or an event. So has a set of names: `merged` is weak, and the channels of a
   merged queue hold it while it has a client. Queues are made under `lock`, in any thread.
2. A channel that is forgotten leaves its newest id in `_tops`, so that a client that had all of it
   lost nothing. When these are too many, the oldest go, and all channels that are not known begin
   at a new id: whatever a client of one of them has, it is told of a gap.
3. Publishing makes a channel hold something, and there are `max_channels` of these; reading does
   not. Of those that nobody reads (`deserted`), the longest deserted makes room.
4. A client counts once for each channel that it reads, and there are `max_clients`. Where all are
   away (`vacant`) and the channels hold nothing, they make room: they have nothing to lose. The
   places of clients without a name, which are away, count in the same way on their own (`places`).
"""

from __future__ import annotations

from threading import RLock
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from tatsumaki_py.error import HTTPError
from tatsumaki_py.message_queue.ids import Ids
from tatsumaki_py.message_queue.own_settings import OwnSettings
from tatsumaki_py.message_queue.thread import LoopThread

if TYPE_CHECKING:
    from tatsumaki_py.message_queue import MessageQueue
    from tatsumaki_py.message_queue.merged import MergedQueue
    from tatsumaki_py.message_queue.places import Places
    from tatsumaki_py.message_queue.retention import Retained

__all__ = ["Registry"]

MAX_TOPS = 10_000
"""Channels that are forgotten, of which the newest id is known."""


class Registry:
    """The channels of this process."""

    def __init__(self) -> None:
        self.ids = Ids()
        self._start = self.ids.next()
        self._tops: dict[str, str] = {}
        self.own = OwnSettings()
        self.thread = LoopThread()
        self.lock = RLock()
        self.instances: WeakValueDictionary[str, MessageQueue] = WeakValueDictionary()
        self.merged: WeakValueDictionary[tuple[str, ...], MergedQueue] = WeakValueDictionary()
        self.active: dict[str, Retained] = {}
        """Those that somebody reads, or that hold something."""
        self.holding: dict[str, Retained] = {}
        """Those that hold something."""
        self.deserted: dict[str, Retained] = {}
        """Those of them that nobody reads, longest deserted first."""
        self.vacant: dict[str | tuple[str, ...], Places] = {}
        """Queues whose clients are all away, longest vacant first."""
        self.clients = 0
        self.places = 0
        self.size = 0
        """Bytes of JSON that all channels hold."""

    def top_of(self, channel: str) -> str:
        """The newest id of a channel that is not held."""
        return self._tops.get(channel, self._start)

    def reset(self) -> None:
        """Begin a new life, in which no cursor is known and no channel has settings of its own."""
        self.own.clear()
        self._tops.clear()
        self._start = self.ids.next()

    def hold(self, queue: Retained) -> None:
        """`queue` is about to get an event. 503 if `max_channels` hold some, and all are read."""
        if queue.channel in self.holding:
            return
        while len(self.holding) >= queue.max_channels:
            if not self.deserted:
                raise HTTPError(503, "too many channels")
            next(iter(self.deserted.values()))._release()
        self.active[queue.channel] = self.holding[queue.channel] = queue
        if not queue._in_use():
            self.deserted[queue.channel] = queue

    def make_room(self, queue: Retained) -> None:
        """Events are about to come. 503 if all that is held is needed, and too much."""
        while self.size > queue.max_size:
            longest = next((q for q in self.deserted.values() if q is not queue), None)
            if longest is None:
                raise HTTPError(503, "too many events")
            longest._release()

    def admit(self, queue: Places, limit: int) -> None:
        """`queue` is about to get a client. 503 if there are `limit` already."""
        while self.clients + queue._width() > limit:
            if not self._vacate(queue):
                raise HTTPError(503, "too many clients")
        while self.places > limit and self._vacate(queue):
            pass

    def _vacate(self, but: Places) -> bool:
        """Forget who is away from the queue that is vacant longest, if it holds nothing. False if
        there is none but `but`.
        """
        vacant = next((queue for queue in self.vacant.values() if queue is not but), None)
        if vacant is None:
            return False
        del self.vacant[vacant.channel]
        if vacant._holds_nothing():
            vacant._clear()
        return True

    def use(self, queue: Retained) -> None:
        """`queue` gets a client."""
        self.active[queue.channel] = queue
        self.deserted.pop(queue.channel, None)

    def desert(self, queue: Retained) -> None:
        """`queue` lost its last client."""
        self.deserted[queue.channel] = queue

    def release(self, queue: Retained) -> None:
        """`queue` is empty."""
        for queues in (self.deserted, self.holding, self.active):
            queues.pop(queue.channel, None)
        if queue.cursor() == self._start:
            return
        self._tops.pop(queue.channel, None)
        self._tops[queue.channel] = queue.cursor()
        if len(self._tops) > MAX_TOPS:
            del self._tops[next(iter(self._tops))]
            self._start = self.ids.next()

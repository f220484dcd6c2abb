"""The clients of a channel: who waits, who is away, and what is kept for them.

Rules:
1. `_streams` and `_waiting` hold exactly the LISTENING clients, `_absent` exactly the ABSENT ones,
   oldest deadline first.
2. A client that is not LISTENING has its cursor pinned in the log; so has a stream that does not
   keep up, at what it has not been sent.
3. No loop is stored: timers belong to the loop that runs.
"""

from __future__ import annotations

import asyncio
import time
import weakref
from typing import ClassVar

from tatsumaki_py.message_queue.client import Client
from tatsumaki_py.message_queue.listener import Listener
from tatsumaki_py.message_queue.log import EventLog
from tatsumaki_py.message_queue.registry import Registry

__all__ = ["Places"]

TRIM_AGAIN = 0.25
"""Seconds after which events are dropped that were kept for what was not sent yet."""


class Places:
    """The log of a channel, and where in it its clients are.

    The settings are defaults of the class; all but `max_channels`, `max_clients` and `max_size` may
    also be set on one queue.
    """

    backlog_length: int = 30
    """How many events a client that is new gets, and a channel keeps in any case
    (``$BacklogLength``).
    """
    buffer_length: int = 1000
    """How many events are kept at most, for clients that are expected back or slow. Who lost some
    is told: a gap.
    """
    buffer_size: int = 16 * 1024 * 1024
    """How many bytes of events are kept at most."""
    reconnect_time: float = 30.0
    """Seconds for which a client that is away is expected back."""
    time_to_live: float | None = None
    """Seconds after which an event is dropped; None keeps it as long as the lengths above allow."""
    idle_timeout: float = 3600.0
    """Seconds after which a channel is forgotten in which nobody listens and nothing is
    published.
    """
    max_size: int = 256 * 1024 * 1024
    """Bytes of events in all channels. Beyond, the channels that are deserted longest are
    forgotten; if there is none, one more event is a 503.
    """
    max_event_size: int = 1024 * 1024
    """Bytes of JSON that one event may have; more is a 413."""
    max_channels: int = 10_000
    """Channels in use at once; one more is a 503."""
    max_clients: int = 200_000
    """Clients, listening or expected back, in all channels; one more is a 503."""

    _registry: ClassVar[Registry] = Registry()

    def __init__(self, channel: str) -> None:
        self.channel = channel
        self._log = EventLog(channel)
        self._told = self._log.top
        self._clients: dict[str, Client] = {}
        self._streams: dict[str, Client] = {}
        self._waiting: dict[str, Client] = {}
        self._absent: dict[str, Client] = {}
        self._last_use = 0.0
        self._counted = 0
        self._timer: asyncio.TimerHandle | None = None
        self._trimmer: asyncio.TimerHandle | None = None
        self._timer_loop: weakref.ref[asyncio.AbstractEventLoop] | None = None

    def __repr__(self) -> str:
        held = f"{len(self._log)} events, {len(self._clients)} clients"
        return f"<{type(self).__name__} {self.channel!r}: {held}>"

    # -- coming and going

    def _enter(self, client_id: str) -> Client:
        """A client that nobody remembers: it gets the backlog."""
        self._expire()
        self._registry.enter(self)
        backlog = self._log.newest(self.backlog_length)
        client = Client(client_id, backlog[0].prev if backlog else self._log.top)
        self._clients[client_id] = client
        return client

    def _ready(self, client: Client) -> None:
        """`client` has all there is and waits for the next event."""
        assert client.listener is not None
        (self._waiting if client.listener.once else self._streams)[client.id] = client
        self._unpin(client)

    def _park(self, client: Client) -> None:
        """`client` does not wait: keep its place in the log."""
        self._waiting.pop(client.id, None)
        self._streams.pop(client.id, None)
        if client.pinned != client.cursor:
            self._unpin(client)
            self._log.pin(client.cursor)
            client.pinned = client.cursor

    def _unpin(self, client: Client) -> None:
        if client.pinned is not None:
            self._log.unpin(client.pinned)
            client.pinned = None

    def _leave(self, client: Client, listener: Listener, error: Exception | None = None) -> None:
        """`client` is away from now on."""
        client.leave(self._now(), self.reconnect_time)
        self._park(client)
        self._absent[client.id] = client
        listener.end(error)
        self._arm()

    def _forget(self, client: Client) -> None:
        listener = client.listener
        client.forget()
        self._park(client)
        self._unpin(client)
        self._absent.pop(client.id, None)
        del self._clients[client.id]
        self._registry.leave(self)
        if listener is not None:
            listener.end()
        if self._clients:
            return
        self._last_use = self._now()
        self._trim()
        if not self._log:
            self._release()

    def _release(self) -> None:
        """Nobody needs what is here."""
        self._log.clear()
        self._count()
        self._told = self._log.top
        for timer in (self._timer, self._trimmer):
            if timer is not None:
                timer.cancel()
        self._timer = self._trimmer = None
        self._registry.release(self)

    # -- time

    def _use(self) -> None:
        """Events are about to come. 503 if there is no room for one more channel."""
        self._registry.activate(self)
        self._registry.make_room(self)
        self._last_use = self._now()
        self._arm()

    def _trim(self) -> None:
        self._expire()
        if not self._waiting and not self._streams:
            self._told = self._log.top
        # What `append_backlog` left is still to be told to who listens, and what was written just
        # now is to reach the kernel: streams send soon, and the last of them last.
        last = next(reversed(self._streams.values()), None)
        peer = last.listener.peer if last is not None and last.listener is not None else None
        unsent = peer.peer_unsent(self.channel) if peer is not None else None
        held = unsent or self._told
        self._log.pin(held)
        self._log.trim(self.backlog_length, self.buffer_length, self.buffer_size)
        self._log.unpin(held)
        self._count()
        if unsent is not None and len(self._log) > self.backlog_length and self._trimmer is None:
            loop = asyncio.get_running_loop()
            self._trimmer = loop.call_later(TRIM_AGAIN, self._trim_again)

    def _count(self) -> None:
        """Tell the registry how much is held here."""
        self._registry.size += self._log.size - self._counted
        self._counted = self._log.size

    def _trim_again(self) -> None:
        self._trimmer = None
        self._trim()

    def _expire(self) -> None:
        if self.time_to_live is not None:
            self._log.expire(int((time.time() - self.time_to_live) * 1000))

    def _now(self) -> float:
        try:
            return asyncio.get_running_loop().time()
        except RuntimeError:
            return time.monotonic()

    def _arm(self) -> None:
        """See to it that `_sweep` is called when there is something to forget."""
        if self._absent:
            when = next(iter(self._absent.values())).deadline
        elif not self._clients:
            when = self._last_use + self.idle_timeout
        else:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        if self._timer is not None:
            same_loop = self._timer_loop is not None and self._timer_loop() is loop
            if same_loop and self._timer.when() <= when:
                return
            self._timer.cancel()
        self._timer = loop.call_at(when, self._sweep)
        self._timer_loop = weakref.ref(loop)

    def _sweep(self) -> None:
        """Forget who did not come back, and the channel if nobody uses it."""
        self._timer = None
        now = self._now()
        while self._absent:
            client = next(iter(self._absent.values()))
            if not client.is_late(now):
                break
            self._forget(client)
        self._trim()
        if not self._clients and now >= self._last_use + self.idle_timeout:
            self._release()
        elif self._absent or self._log:
            self._arm()

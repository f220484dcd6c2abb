"""Who listens to a channel, and how events reach them.

Rules:
1. `_accept` appends, then calls everybody who listens, before it returns. What is published
   meanwhile, by a callback, is delivered in the same pass, after: everybody sees the order of the
   log.
2. `_streams` and `_waiting` hold exactly the LISTENING clients, `_absent` exactly the ABSENT ones,
   oldest deadline first. A client that is not LISTENING has its cursor pinned in the log.
3. A callback that raises hurts nobody else, and is called outside of any change that is half made.
4. No loop is stored: timers belong to the loop that runs.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from tatsumaki_py import peer as peers
from tatsumaki_py.error import ClientDisconnect, HTTPError
from tatsumaki_py.message_queue.client import DELIVERING, LISTENING, Client
from tatsumaki_py.message_queue.event import Event, position
from tatsumaki_py.message_queue.listener import Listener, Mailbox, Poll
from tatsumaki_py.message_queue.log import EventLog
from tatsumaki_py.message_queue.registry import Registry

__all__ = ["Channel"]

_log = logging.getLogger("tatsumaki")


class Channel:
    """The log of a channel and its clients; `MessageQueue` is what users see of it.

    The settings are defaults of the class; all but `max_channels` and `max_clients` may also be set
    on one queue.
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
    max_event_size: int = 1024 * 1024
    """Bytes of JSON that one event may have; more is a 413."""
    max_channels: int = 10_000
    """Channels in use at once; one more is a 503."""
    max_clients: int = 200_000
    """Clients, listening or expected back, in all channels; one more is a 503."""

    _registry: ClassVar[Registry] = Registry()

    def __init__(self, channel: str) -> None:
        self.channel = channel
        self._log = EventLog()
        self._told = self._log.top
        self._delivering = False
        self._clients: dict[str, Client] = {}
        self._streams: dict[str, Client] = {}
        self._waiting: dict[str, Client] = {}
        self._absent: dict[str, Client] = {}
        self._last_use = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_loop: weakref.ref[asyncio.AbstractEventLoop] | None = None

    def __repr__(self) -> str:
        held = f"{len(self._log)} events, {len(self._clients)} clients"
        return f"<{type(self).__name__} {self.channel!r}: {held}>"

    # -- coming

    def _listen(
        self, client_id: str, listener: Listener, last_event_id: str | None, timeout: float | None
    ) -> Poll:
        poll = Poll(listener)
        loop = asyncio.get_running_loop()
        peer = peers.of(None if isinstance(listener, Mailbox) else listener.callback)
        if peer is not None:
            if last_event_id is None:
                last_event_id = peer.peer_cursor()
            if not peer.peer_watch(listener):
                self._dismiss(listener, peer)
                return poll
            listener.peer = peer
        if last_event_id:
            position(last_event_id)
        client = self._clients.get(client_id) or self._enter(client_id)
        superseded, was_waiting = client.listener, client.state is LISTENING
        self._absent.pop(client_id, None)
        self._park(client)
        client.cursor = last_event_id or client.cursor
        client.listen(listener)
        listener.client = client
        if superseded is not None:
            self._supersede(superseded, was_waiting, peer)
            if client.listener is not listener:
                return poll
        events = self._log.since(client.cursor)
        if events or timeout == 0:
            self._deliver(client, events)
        else:
            self._ready(client)
            if timeout is not None and timeout != float("inf"):
                listener.timer = loop.call_later(timeout, listener.timed_out)
        return poll

    def _enter(self, client_id: str) -> Client:
        """A client that nobody remembers: it gets the backlog."""
        self._expire()
        self._registry.enter(self)
        backlog = self._log.newest(self.backlog_length)
        client = Client(client_id, backlog[0].prev if backlog else self._log.top)
        self._clients[client_id] = client
        return client

    def _supersede(self, listener: Listener, was_waiting: bool, heir: peers.Peer | None) -> None:
        """Another poll of the same client has taken over: end this one with no events."""
        callback, peer = listener.callback, listener.peer
        listener.end()
        if isinstance(listener, Mailbox):
            return
        if not listener.once:
            if peer is not None and peer is not heir:
                peer.peer_finish()
        elif was_waiting and callback is not None:
            self._answer_empty(callback, peer)

    def _dismiss(self, listener: Listener, peer: peers.Peer) -> None:
        """There is nobody to wait for: a HEAD request, or a client that has left."""
        callback, left = listener.callback, peer.peer_left()
        listener.end(ClientDisconnect() if left else None)
        if (
            listener.once
            and not left
            and not isinstance(listener, Mailbox)
            and callback is not None
        ):
            self._answer_empty(callback, peer)

    def _answer_empty(self, callback: Callable[..., Any], peer: peers.Peer | None) -> None:
        """Call a callback that is not registered (any more) with no events."""
        try:
            result = callback()
        except Exception as error:
            self._report(None, error, peer)
            return
        if inspect.isawaitable(result):
            asyncio.ensure_future(result).add_done_callback(
                lambda future: self._report(None, future.exception(), peer)
            )

    # -- delivery

    def _accept(self, events: Sequence[Event]) -> None:
        """Take events, which follow the top, from the engine."""
        for event in events:
            self._log.append(event)
        if not self._delivering:
            self._catch_up()

    def _catch_up(self) -> None:
        """Bring everybody who listens to the top of the log."""
        self._delivering = True
        try:
            while self._told != self._log.top:
                start, self._told = self._told, self._log.top
                if self._streams or self._waiting:
                    self._tell(start, self._log.since(start))
        finally:
            self._delivering = False
            self._trim()

    def _tell(self, start: str, events: Sequence[Event]) -> None:
        """Give `events` to all that listen; all but newcomers have their cursor at `start`."""
        told = events[-1].id
        for client in tuple(self._waiting.values()):
            if client.state is LISTENING:
                self._deliver(client, events if client.cursor == start else None)
        for client in tuple(self._streams.values()):
            if client.state is not LISTENING:
                continue
            if client.cursor != start:
                self._deliver(client, None)
                continue
            # The fast path: a stream that keeps up.
            listener = client.listener
            assert listener is not None
            client.cursor = told
            try:
                result = client.callback(*events)  # type: ignore[misc]
            except Exception as error:
                if client.listener is listener:
                    self._unconfirm(client, start, told)
                self._failed(client, listener, error)
                continue
            if result is not None and client.listener is listener:
                self._unconfirm(client, start, told)
                if not self._hold(client, listener, result) and self._settle(client, listener):
                    self._deliver(client, None)

    def _unconfirm(self, client: Client, start: str, told: str) -> None:
        """The fast path was too fast: `told` is still on its way."""
        client.cursor = start
        client.deliver(told)
        self._park(client)

    def _deliver(self, client: Client, events: Sequence[Event] | None) -> None:
        """Give one client `events` (None: all after its cursor), then what was published
        meanwhile.
        """
        while True:
            if events is None:
                events = self._log.since(client.cursor)
                if not events:
                    self._ready(client)
                    return
            listener = client.listener
            assert listener is not None
            assert listener.callback is not None
            client.deliver(events[-1].id if events else client.cursor)
            self._park(client)
            listener.stop_timer()
            try:
                result = listener.callback(*events)
            except Exception as error:
                self._failed(client, listener, error)
                return
            if result is not None and self._hold(client, listener, result):
                return
            if not self._settle(client, listener):
                return
            events = None

    def _hold(self, client: Client, listener: Listener, result: Any) -> bool:
        """Wait for what a callback returned. False if there is nothing to wait for."""
        if not inspect.isawaitable(result):
            return False

        def done(future: asyncio.Future[Any]) -> None:
            error = None if future.cancelled() else future.exception()
            if isinstance(error, Exception):
                self._failed(client, listener, error)
            elif self._settle(client, listener):
                self._deliver(client, None)

        asyncio.ensure_future(result).add_done_callback(done)
        return True

    def _settle(self, client: Client, listener: Listener) -> bool:
        """A callback is done with its events. Returns whether it may have more."""
        if client.listener is not listener:
            return False
        if listener.once:
            if listener.peer is None:
                self._served(listener)
            return False
        client.confirm()
        return True

    def _served(self, listener: Listener) -> None:
        """The answer to a long poll is complete."""
        client = listener.client
        if listener.once and client is not None and client.listener is listener:
            if client.state is DELIVERING:
                client.confirm()
            self._leave(client, listener)

    def _failed(self, client: Client, listener: Listener, error: Exception) -> None:
        """A callback raised. Who has a peer is cut off and comes back; others go on after what they
        choked on.
        """
        peer = listener.peer
        current = client.listener is listener
        if current and (peer is not None or listener.once or isinstance(error, ClientDisconnect)):
            self._leave(client, listener)
            current = False
        self._report(client.id, error, peer)
        if current and client.listener is listener:
            client.confirm()
            self._deliver(client, None)

    def _report(
        self, client_id: str | None, error: BaseException | None, peer: peers.Peer | None
    ) -> None:
        if error is None:
            return
        answered = isinstance(error, HTTPError) and peer is not None
        if not answered and not isinstance(error, ClientDisconnect):
            _log.error(
                "callback of client %r on channel %r raised",
                client_id,
                self.channel,
                exc_info=error,
            )
        if peer is not None:
            peer.peer_failed(error)

    # -- going

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

    def _left(self, listener: Listener, error: Exception | None = None) -> None:
        """Nobody is behind `listener` any more."""
        client = listener.client
        if client is None or client.listener is not listener:
            listener.end(error)
            return
        if listener.peer is not None and not listener.once:
            client.cursor = listener.peer.peer_unsent() or client.cursor
        self._leave(client, listener, error)

    def _timed_out(self, listener: Listener) -> None:
        client = listener.client
        if client is not None and client.listener is listener and client.state is LISTENING:
            self._deliver(client, ())

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
        self._told = self._log.top
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._registry.release(self)

    # -- time

    def _use(self) -> None:
        """Events are about to come. 503 if there is no room for one more channel."""
        self._registry.activate(self)
        self._last_use = self._now()
        self._arm()

    def _trim(self) -> None:
        self._expire()
        self._log.trim(self.backlog_length, self.buffer_length, self.buffer_size)

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
        if not self._clients and now >= self._last_use + self.idle_timeout:
            self._release()
        elif self._absent or self._log:
            self._arm()

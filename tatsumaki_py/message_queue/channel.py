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
from collections.abc import Sequence
from contextvars import Context
from typing import Any, ClassVar

from tatsumaki_py import peer as peers
from tatsumaki_py.error import ClientDisconnect, HTTPError
from tatsumaki_py.message_queue.client import DELIVERING, LISTENING, Client
from tatsumaki_py.message_queue.event import Event, position
from tatsumaki_py.message_queue.listener import PENDING, Listener, Mailbox, Poll, serving
from tatsumaki_py.message_queue.log import EventLog
from tatsumaki_py.message_queue.registry import Registry

__all__ = ["Channel"]

TRIM_AGAIN = 0.25
"""Seconds after which events are dropped that were kept for what was not sent yet."""

_log = logging.getLogger("tatsumaki")

# What a callback may raise without hurting its caller, who is not cancelled with it.
_RAISED = (Exception, asyncio.CancelledError)


def _is_awaited(result: Any) -> bool:
    """Whether a callback is to be waited for. ``return mq.poll_once(...)`` does not ask for it, and
    what `Handler.stream_write` returns is done already if the client keeps up.
    """
    if not inspect.isawaitable(result) or isinstance(result, Poll):
        return False
    done = getattr(result, "done", None)
    if done is None or not done():
        return True
    return isinstance(result, asyncio.Future) and _error(result) is not None


def _error(future: asyncio.Future[Any]) -> BaseException | None:
    """Why a callback's future failed, if it did. If it was cancelled, nobody has its events."""
    return ClientDisconnect() if future.cancelled() else future.exception()


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
        self._log = EventLog(channel)
        self._told = self._log.top
        self._delivering = False
        self._calling: Listener | None = None
        self._telling: Client | None = None
        self._telling_from = self._told
        self._clients: dict[str, Client] = {}
        self._streams: dict[str, Client] = {}
        self._waiting: dict[str, Client] = {}
        self._absent: dict[str, Client] = {}
        self._last_use = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._trimmer: asyncio.TimerHandle | None = None
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
            if last_event_id:
                position(last_event_id)
            if not peer.peer_watch(listener):
                self._dismiss(client_id, listener, peer)
                return poll
            listener.peer = peer
        elif last_event_id:
            position(last_event_id)
        client = self._clients.get(client_id) or self._enter(client_id)
        superseded, was_waiting = client.listener, client.state is LISTENING
        self._absent.pop(client_id, None)
        if self._absent:
            # They may have left in a loop that is closed.
            self._arm()
        if superseded is not None:
            self._inherit(client, superseded, peer)
        client.cursor = last_event_id or client.cursor
        self._park(client)
        listener.begin()
        client.listen(listener)
        listener.client = client
        if superseded is not None:
            self._supersede(client, superseded, was_waiting, peer)
            if client.listener is not listener or client.state is not LISTENING:
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

    def _inherit(self, client: Client, superseded: Listener, heir: peers.Peer | None) -> None:
        """Where a poll begins that takes over from another one."""
        peer = superseded.peer
        asks_again = self._serves(superseded) or (peer is not None and peer is heir)
        if not asks_again:
            self._take_back(client, superseded)
        elif client.state is DELIVERING and superseded.has_all():
            client.confirm()

    def _serves(self, listener: Listener) -> bool:
        """Whether this is called by the callback of `listener`."""
        return listener is self._calling or listener is serving.get()

    def _take_back(self, client: Client, listener: Listener) -> None:
        """What was written, but not handed to the kernel, is still to come."""
        if listener.peer is not None:
            client.cursor = listener.peer.peer_unsent(self.channel) or client.cursor

    def _supersede(
        self, client: Client, listener: Listener, was_waiting: bool, heir: peers.Peer | None
    ) -> None:
        """Another poll of the same client has taken over: end this one with no events."""
        peer = listener.peer
        if listener.once and was_waiting:
            self._answer_empty(client.id, listener, peer)
            return
        listener.end()
        streams = not listener.once and not isinstance(listener, Mailbox)
        if streams and peer is not None and peer is not heir:
            peer.peer_finish()

    def _dismiss(self, client_id: str, listener: Listener, peer: peers.Peer) -> None:
        """There is nobody to wait for: a HEAD request, or a client that has left."""
        if peer.peer_left():
            listener.end(ClientDisconnect())
        elif listener.once:
            listener.begin()
            self._answer_empty(client_id, listener, peer)
        else:
            listener.end()

    def _answer_empty(self, client_id: str, listener: Listener, peer: peers.Peer | None) -> None:
        """End a long poll, and call its callback with no events."""
        call, context = listener.call, listener.context
        listener.end()
        if isinstance(listener, Mailbox) or call is None:
            return

        def done(future: asyncio.Future[Any]) -> None:
            error = _error(future)
            if error is not None:
                self._report(client_id, error, peer)

        try:
            result = call()
            if _is_awaited(result):
                run = Context() if context is None else context
                run.run(asyncio.ensure_future, result).add_done_callback(done)
        except _RAISED as error:
            self._report(client_id, error, peer)

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
        # The request that publishes is not the one that is answered.
        token = peers.current.set(None)
        try:
            while self._told != self._log.top:
                start, self._told = self._told, self._log.top
                if self._streams or self._waiting:
                    self._tell(start, self._log.since(start))
        finally:
            peers.current.reset(token)
            self._delivering = False
            self._telling = None
            self._trim()

    def _tell(self, start: str, events: Sequence[Event]) -> None:
        """Give `events` to all that listen; all but newcomers have their cursor at `start`."""
        told = events[-1].id
        self._telling_from = start
        for client in tuple(self._waiting.values()):
            if client.state is LISTENING:
                self._deliver(client, events if client.cursor == start else None)
        for client in tuple(self._streams.values()):
            if client.state is not LISTENING:
                continue
            if client.cursor != start:
                self._telling = None
                self._deliver(client, None)
                continue
            # The fast path: a stream that keeps up.
            listener = client.listener
            assert listener is not None
            context = listener.context
            client.cursor = told
            self._telling = client
            try:
                result = client.callback(*events)  # type: ignore[misc]
            except _RAISED as error:
                if client.listener is listener:
                    self._unconfirm(client, start, told)
                self._telling = None
                if self._failed(client, listener, error):
                    self._deliver(client, None)
                continue
            if result is not None and (result is PENDING or _is_awaited(result)):
                self._telling = None
                if client.listener is listener:
                    self._unconfirm(client, start, told)
                if self._hold(client, listener, context, result):
                    continue
                if self._settle(client, listener):
                    self._deliver(client, None)
        self._telling = None

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
            assert listener.call is not None
            context = listener.context
            client.deliver(events[-1].id if events else client.cursor)
            self._park(client)
            listener.stop_timer()
            outer, self._calling = self._calling, listener
            try:
                result = listener.call(*events)
            except _RAISED as error:
                if not self._failed(client, listener, error):
                    return
                events = None
                continue
            finally:
                self._calling = outer
            if result is not None and self._hold(client, listener, context, result):
                return
            if not self._settle(client, listener):
                return
            events = None

    def _hold(
        self, client: Client, listener: Listener, context: Context | None, result: Any
    ) -> bool:
        """Wait for what a callback returned. False if there is nothing to wait for."""
        if result is PENDING:
            return True
        if not _is_awaited(result):
            return False

        def done(future: asyncio.Future[Any]) -> None:
            error = _error(future)
            if error is None:
                self._received(listener)
            elif self._failed(client, listener, error):
                self._deliver(client, None)

        try:
            run = Context() if context is None else context
            run.run(asyncio.ensure_future, result).add_done_callback(done)
        except Exception as error:
            if self._failed(client, listener, error):
                self._deliver(client, None)
        return True

    def _received(self, listener: Listener) -> None:
        """What was held back by a listener has arrived."""
        client = listener.client
        if client is not None and self._settle(client, listener):
            self._deliver(client, None)

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
        """The answer is complete."""
        client = listener.client
        if client is not None and client.listener is listener:
            if client.state is DELIVERING and listener.has_all():
                client.confirm()
            self._leave(client, listener)

    def _failed(self, client: Client, listener: Listener, error: BaseException) -> bool:
        """A callback raised. Who has a peer is cut off and comes back; others go on after what they
        choked on: then this returns True.
        """
        peer = listener.peer
        current = client.listener is listener
        if current and (peer is not None or listener.once or isinstance(error, ClientDisconnect)):
            self._leave(client, listener)
            current = False
        self._report(client.id, error, peer)
        if not current or client.listener is not listener:
            return False
        client.confirm()
        return True

    def _report(self, client_id: str, error: BaseException, peer: peers.Peer | None) -> None:
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
        if client is self._telling:
            if error is not None:
                client.cursor = self._telling_from
        elif error is None and self._serves(listener) and client.state is DELIVERING:
            # A callback that ends its own poll has its events.
            client.confirm()
        self._take_back(client, listener)
        self._leave(client, listener, error)

    def _blocked(self, listener: Listener, blocked: bool) -> None:
        """A stream does not keep up: what it was given but the kernel has not is kept."""
        client = listener.client
        if client is None or client.listener is not listener or client.state is not LISTENING:
            return
        if not blocked:
            self._unpin(client)
        elif listener.peer is not None and client.pinned is None:
            client.pinned = listener.peer.peer_unsent(self.channel) or client.cursor
            self._log.pin(client.pinned)

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
        for timer in (self._timer, self._trimmer):
            if timer is not None:
                timer.cancel()
        self._timer = self._trimmer = None
        self._registry.release(self)

    # -- time

    def _use(self) -> None:
        """Events are about to come. 503 if there is no room for one more channel."""
        self._registry.activate(self)
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
        if unsent is not None and len(self._log) > self.backlog_length and self._trimmer is None:
            loop = asyncio.get_running_loop()
            self._trimmer = loop.call_later(TRIM_AGAIN, self._trim_again)

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

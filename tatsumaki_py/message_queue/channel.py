"""Who listens to a channel, and how events reach them.

Rules:
1. `_accept` appends, then calls everybody who listens, before it returns. What is published
   meanwhile, by a callback, is delivered in the same pass, after: everybody sees the order of the
   log.
2. A callback that raises hurts nobody else, and is called outside of any change that is half made.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Sequence
from contextvars import Context
from typing import Any

from tatsumaki_py import peer as peers
from tatsumaki_py.error import ClientDisconnect, HTTPError
from tatsumaki_py.message_queue.client import DELIVERING, LISTENING, Client
from tatsumaki_py.message_queue.event import Event, position
from tatsumaki_py.message_queue.listener import PENDING, Listener, Mailbox, Poll, serving
from tatsumaki_py.message_queue.places import Places

__all__ = ["Channel"]

MAX_ANSWER = 1024 * 1024
"""Bytes of JSON in the answer of one long poll, if it is more than one event."""

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


def _some(events: Sequence[Event], limit: int) -> Sequence[Event]:
    """The first of `events`, up to `limit` bytes; at least one, if there is one."""
    size = 0
    for count, event in enumerate(events):
        size += len(event.json)
        if count and size > limit:
            return events[:count]
    return events


class Channel(Places):
    """Hands the events of a channel to who listens; `MessageQueue` is what users see of it."""

    def __init__(self, channel: str) -> None:
        super().__init__(channel)
        self._delivering = False
        self._calling: Listener | None = None
        self._telling: Client | None = None
        self._telling_from = self._told

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
            self._telling = client
            client.cursor = told
            listener = client.listener
            try:
                result = client.callback(*events)  # type: ignore[misc]
            except _RAISED as error:
                self._tell_failed(client, listener, start, told, error)
                continue
            if result is not None:
                self._tell_slowly(client, listener, start, told, result)
        self._telling = None

    def _tell_failed(
        self,
        client: Client,
        listener: Listener | None,
        start: str,
        told: str,
        error: BaseException,
    ) -> None:
        """The fast path ended in an exception."""
        assert listener is not None
        self._telling = None
        if client.listener is listener:
            self._unconfirm(client, start, told)
        if self._failed(client, listener, error):
            self._deliver(client, None)

    def _tell_slowly(
        self, client: Client, listener: Listener | None, start: str, told: str, result: Any
    ) -> None:
        """The fast path got something to wait for."""
        if result is not PENDING and not _is_awaited(result):
            return
        assert listener is not None
        self._telling = None
        if client.listener is listener:
            self._unconfirm(client, start, told)
        if not self._hold(client, listener, listener.context, result) and self._settle(
            client, listener
        ):
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
            assert listener.call is not None
            peer = listener.peer
            count = len(events)
            if listener.once:
                events = _some(events, MAX_ANSWER)
            elif peer is not None:
                events = _some(events, peer.peer_room())
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
            if result is None and peer is not None and not listener.once and len(events) < count:
                # All at once would be too much for who is not quick, whenever it comes back.
                result = peer.peer_drain()
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

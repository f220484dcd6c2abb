"""Who listens to a queue: how they come, and how they go.

Rules:
1. A client has one listener; a second poll of the same client takes over from the first.
2. A peer is told where its client is when a stream begins, before anything is delivered, and before
   a long poll is answered with no events. (An answer with events says it itself.)
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from contextvars import Context
from functools import partial
from types import MappingProxyType
from typing import Any

from tatsumaki_py.error import ClientDisconnect, HTTPError
from tatsumaki_py.message_queue import peer as peers
from tatsumaki_py.message_queue.callback import start
from tatsumaki_py.message_queue.client import DELIVERING, LISTENING, Client
from tatsumaki_py.message_queue.delivery import Delivery
from tatsumaki_py.message_queue.listener import Listener, Mailbox, Poll, serving
from tatsumaki_py.message_queue.trail import Trail

__all__ = ["Channel", "checked_name"]

_MAX_NAME = 1024
TIMEOUT = 55.0
"""Seconds that a long poll waits by default."""


def checked_name(kind: str, value: object) -> str:
    """`value`, if it can be the name of something; an `int` is taken as its text.

    Raises `TypeError`, or 400 if it is too long.
    """
    if type(value) is int:
        value = str(value)
    if not isinstance(value, str):
        raise TypeError(f"{kind} is a str, not {type(value).__name__}")
    if len(value) > _MAX_NAME:
        raise HTTPError(400, f"{kind} is longer than {_MAX_NAME} characters")
    return value


class Channel(Delivery):
    """What `MessageQueue` and `MergedQueue` have in common: they are listened to."""

    def cursor(self) -> str:
        """The id of the newest event: give it as `last_event_id` to get what comes after it."""
        return self._log.top

    @property
    def clients(self) -> Mapping[str, Client]:
        """The clients that listen or are expected back, by id. Read-only."""
        return MappingProxyType(self._clients)

    @property
    def subscribers(self) -> int:
        """The number of clients that are not known to be gone, also of those that listen to this
        channel among others.

        A client counts from its first poll on, until its connection is closed or its callback
        failed. One with a `client_id` still counts, for `reconnect_time`, when its long poll was
        answered or its stream was ended from here.
        """
        return sum(len(queue._subscribed) for queue in (self, *self._merged.values()))

    def disconnect(self) -> None:
        """End all polls: long polls are answered with no events, streams are finished. Clients that
        return resume where they left off.
        """
        self._registry.thread.check("disconnect")
        for client in list(self._clients.values()):
            listener, waiting = client.listener, client.state is LISTENING
            if listener is not None:
                self._take_back(client, listener)
                self._away(client)
                self._supersede(client, listener, waiting, client.cursor, None)
                if not client.named:
                    self._unsubscribe(client)
        self._arm()
        for merged in tuple(self._merged.values()):
            merged.disconnect()

    # -- coming

    def poll_once(
        self,
        client_id: str | int | None,
        callback: Callable[..., Any] | None = None,
        timeout: float | None = TIMEOUT,
        *,
        last_event_id: str | None = None,
        on_unsubscribe: Callable[[], Any] | None = None,
    ) -> Poll:
        """Long poll: the next events for a client, as soon as there are any.

        While a request is handled it belongs to that request, also in a task: it ends when the
        client leaves or the answer is complete. A task that is to go on is started with
        ``asyncio.create_task(bot(), context=contextvars.Context())``.

        Args:
            client_id: names the client (an int is taken as its text). A client that returns within
                `reconnect_time` resumes where it left off. A new one gets the backlog. A second
                poll with the same id ends the first with no events. None is an anonymous client:
                it resumes from `last_event_id`, or is new.
            callback: called once as ``callback(*events)``, without events after `timeout`. If it
                returns an awaitable, the delivery counts as done when that is done.
            timeout: seconds to wait; 0 answers at once with what there is, None is the default.
            last_event_id: id of the last event that the client has; wins over what is remembered.
                By default what the request being handled says (`Request.last_event_id`); "" for
                none. A gap comes first (`Event.gap`) if what follows it is not known: because it is
                too old, of another life of the server, or no id at all.
            on_unsubscribe: called once, without arguments and on behalf of no request, when the
                client is no subscriber any more (see `subscribers`); the latest one given for the
                client is. An awaitable that it returns is run. What it raises is logged.

        Returns:
            Without a callback, something to await for the list of events. With one, `Poll.cancel`
            is of use. `Poll.new` says whether the client was no subscriber before.

        Raises:
            TypeError, ValueError: `client_id` or `last_event_id` is not a str, `timeout` is not a
                number from 0 on.
            Error.HTTP: 400 for an overlong `client_id`, 503 for too many clients or channels.
            Error.ClientDisconnect: when awaited, if the client of the request goes away.
        """
        timeout = TIMEOUT if timeout is None else timeout
        number: object = timeout
        if not isinstance(number, (int, float)):
            raise TypeError(f"timeout is a number of seconds, not {timeout!r}")
        if not number >= 0:
            raise ValueError(f"timeout is a number of seconds from 0 on, not {timeout!r}")
        listener = self._listener(callback, True)
        return self._listen(client_id, listener, last_event_id, timeout, on_unsubscribe)

    def poll(
        self,
        client_id: str | int | None,
        callback: Callable[..., Any] | None = None,
        *,
        last_event_id: str | None = None,
        on_unsubscribe: Callable[[], Any] | None = None,
    ) -> Poll:
        """Stream: all events for a client from its cursor on, until it goes.

        As `poll_once`, but the callback is called for each delivery, and without one the result is
        iterated: ``async for events in mq.poll(client_id)``. A callback that returns an awaitable
        is not called again before that is done; the log keeps what comes meanwhile (up to
        `buffer_length` events, then there is a gap).
        """
        listener = self._listener(callback, False)
        return self._listen(client_id, listener, last_event_id, None, on_unsubscribe)

    def _listener(self, callback: Callable[..., Any] | None, once: bool) -> Listener:
        if callback is None:
            return Mailbox(self, once)
        if not callable(callback):
            raise TypeError(f"not a callback: {callback!r}")
        return Listener(self, callback, once)

    def _listen(
        self,
        client_id: str | int | None,
        listener: Listener,
        last_event_id: str | None,
        timeout: float | None,
        on_unsubscribe: Callable[[], Any] | None,
    ) -> Poll:
        named = client_id is not None
        # Nobody can ask for a name that is not to be guessed.
        name = checked_name("client_id", client_id) if named else secrets.token_urlsafe(16)
        poll = Poll(listener)
        # Raises if there is none, before anything has changed.
        _check_loop()
        self._registry.thread.check("poll")
        peer = peers.of(None if isinstance(listener, Mailbox) else listener.callback)
        if peer is not None and last_event_id is None:
            last_event_id = self._said(peer, name if named else None)
        if last_event_id:
            if not isinstance(last_event_id, str):
                raise TypeError(f"last_event_id is a str, not {type(last_event_id).__name__}")
            last_event_id = self._log.normalized(last_event_id)
        if peer is not None:
            if not peer._peer_watch(listener):
                self._dismiss(name, listener, peer)
                return poll
            listener.peer = peer
        client = self._clients.get(name) or self._enter(name, named)
        poll.new = self._subscribe(client, on_unsubscribe)
        superseded, was_waiting = client.listener, client.state is LISTENING
        self._absent.pop(name, None)
        self._registry.vacant.pop(self.channel, None)
        if self._absent or self._kept:
            # They may have left in a loop that is closed.
            self._arm()
        if superseded is not None:
            self._inherit(client, superseded, peer)
        left_at = client.cursor
        poll.cursor = client.cursor = last_event_id or client.cursor
        client.new = client.new and not last_event_id
        self._park(client)
        listener.begin()
        client.listen(listener)
        listener.client = client
        if superseded is not None:
            self._supersede(client, superseded, was_waiting, left_at, peer)
        if listener.waits():
            self._begin(client, listener, timeout)
        return poll

    def _said(self, peer: peers.Peer, name: str | None) -> str | None:
        """The cursor that a request gives to a poll. What its client says counts once: a later poll
        goes on where the one before ended.
        """
        client = None if name is None else self._clients.get(name)
        place = peer._peer_place(self.channel, name)
        if place is not None:
            return place if client is None else None
        listener = None if client is None else client.listener
        goes_on = listener is not None and listener.peer is peer
        return None if goes_on else peer._peer_cursor()

    def _begin(self, client: Client, listener: Listener, timeout: float | None) -> None:
        """Give `listener` what there is, or let it wait."""
        if listener.peer is not None and not listener.once:
            if client.named:
                listener.trail = Trail(self._log.known(client.cursor))
            listener.peer._peer_at(client.cursor)
            if not listener.waits():
                return
        events = self._log.since(client.cursor, client.new)
        if events or timeout == 0:
            self._deliver(client, events)
            return
        self._ready(client)
        if timeout is not None and timeout != float("inf"):
            loop = asyncio.get_running_loop()
            listener.timer = loop.call_later(timeout, listener.timed_out)

    def _inherit(self, client: Client, superseded: Listener, heir: peers.Peer | None) -> None:
        """Where a poll begins that takes over from another one."""
        peer = superseded.peer
        asks_again = self._serves(superseded) or (peer is not None and peer is heir)
        if not asks_again:
            self._take_back(client, superseded)
            if peer is not None and peer._peer_in_doubt():
                # The client comes back before its old connection is known to be lost.
                self._go_back(client, superseded)
        elif client.state is DELIVERING and superseded.has_all():
            client.confirm()

    def _serves(self, listener: Listener) -> bool:
        """Whether this is called by the callback of `listener`."""
        return listener is self._calling or listener is serving.get()

    def _supersede(
        self,
        client: Client,
        listener: Listener,
        was_waiting: bool,
        cursor: str,
        heir: peers.Peer | None,
    ) -> None:
        """Another poll of the same client has taken over from this one, which was at `cursor`: end
        it with no events.
        """
        peer = listener.peer
        if listener.once and was_waiting:
            if peer is not None:
                peer._peer_at(cursor)
            self._answer_empty(client.id, listener, peer)
            return
        listener.end()
        streams = not listener.once and not isinstance(listener, Mailbox)
        if streams and peer is not None and peer is not heir:
            peer._peer_finish()

    def _dismiss(self, client_id: str, listener: Listener, peer: peers.Peer) -> None:
        """There is nobody to wait for: a HEAD request, or a client that has left."""
        if peer._peer_left():
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
        if call is not None and not isinstance(listener, Mailbox):
            failed = partial(self._report, client_id, peer=peer)
            start(call, Context() if context is None else context, failed)

    # -- going

    def _left(self, listener: Listener, error: Exception | None = None, lost: bool = False) -> None:
        """Nobody is behind `listener` any more."""
        client = listener.client
        if client is None or client.listener is not listener:
            listener.end(error)
            return
        if client is self._fast.client:
            if error is not None:
                client.cursor = self._fast.start
        elif error is None and self._serves(listener) and client.state is DELIVERING:
            # A callback that ends its own poll has its events.
            client.confirm()
        self._take_back(client, listener)
        if lost:
            self._go_back(client, listener)
        self._leave(client, listener, error)

    def _blocked(self, listener: Listener, blocked: bool) -> None:
        """A stream does not keep up: what it was given but the kernel has not is kept."""
        client = listener.client
        if client is None or not listener.waits():
            return
        if not blocked:
            self._unpin(client)
        elif listener.peer is not None and client.pinned is None:
            client.pinned = listener.peer._peer_unsent(self.channel) or client.cursor
            self._log.pin(client.pinned)

    def _timed_out(self, listener: Listener) -> None:
        client = listener.client
        if client is not None and listener.waits():
            self._deliver(client, ())


def _check_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        mend = "poll in a handler, a coroutine or a callback of IOLoop.current().add_callback"
        raise RuntimeError(f"no running event loop: {mend}") from None

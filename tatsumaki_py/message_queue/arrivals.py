"""How the clients of a queue arrive: they poll, and each poll begins at the place of its client.

Rules:
1. A client has one listener; a second poll of the same client takes over from the first.
2. A peer gets the cursor of its client when a stream begins, before any event is delivered.
3. Until the engine has answered whether it has the events, a client is LOADING and gets no gap.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from tatsumaki_py.error import HTTPError
from tatsumaki_py.message_queue import peer as peers
from tatsumaki_py.message_queue.client import (
    LISTENING,
    LOADING,
    Client,
    ListenedTo,
    Listener,
    Place,
)
from tatsumaki_py.message_queue.delivery import Delivery
from tatsumaki_py.message_queue.departures import Departures
from tatsumaki_py.message_queue.ids import NOWHERE
from tatsumaki_py.message_queue.mailbox import AwaitedPoll, IteratedPoll, Mailbox, Poll
from tatsumaki_py.message_queue.names import checked_name
from tatsumaki_py.message_queue.roster import Roster
from tatsumaki_py.message_queue.source import Follower, Source
from tatsumaki_py.message_queue.takeover import Takeover
from tatsumaki_py.message_queue.timeouts import LONG, SHORT, Timeouts
from tatsumaki_py.message_queue.trail import Trail

__all__ = ["Arrivals", "Home", "Search"]

_log = logging.getLogger("tatsumaki")

LOAD_TIME = 5.0
"""Maximum seconds for which a poll with a timeout of 0 waits for the engine."""
AGAIN = 0.1
"""Seconds until a poll that has every event of an ended log is answered. Without this pause, code
that polls in a loop and ignores the end would occupy the event loop.
"""


class Search:
    """The search for the place of a client. The client's poll waits until the engine has found the
    place, or until its timeout.
    """

    __slots__ = ("finding", "start", "timer")

    def __init__(self, finding: asyncio.Future[str | None]) -> None:
        self.finding = finding
        self.timer: asyncio.TimerHandle | None = None
        self.start: Place | None = None
        """The place at which the client begins if it is new; None until the log is loaded."""

    def cancel(self) -> None:
        """End the search: the poll has ended."""
        # A queue may outlive a loop.
        if not self.finding.get_loop().is_closed():
            self.finding.cancel()
        if self.timer is not None:
            self.timer.cancel()


class Home(ListenedTo, peers.Readable, Follower, Protocol):
    """The audience that a client joins. (It is passed as an argument and not stored, to avoid a
    cycle.)
    """


class Arrivals:
    """Handles the arrivals of one source's clients."""

    def __init__(
        self,
        roster: Roster,
        source: Source,
        departures: Departures,
        delivery: Delivery,
        takeover: Takeover,
    ) -> None:
        self._roster = roster
        self._source = source
        self._departures = departures
        self._delivery = delivery
        self._takeover = takeover

    def loaded(self) -> None:
        """See `Follower.loaded`."""
        if self._source.loaded:
            for client in self._roster.behind.values():
                search = None if client.listener is None else client.listener.timer
                if isinstance(search, Search) and not client.cursor:
                    search.start = self._newcomer()

    def listen(
        self,
        home: Home,
        client_id: str | int | None,
        callback: Callable[..., Any] | None,
        last_event_id: str | None,
        on_unsubscribe: Callable[[], Any] | None,
        timeout: float | None,
        once: bool,
    ) -> Poll:
        """Give the events of a client to `callback`, or to the code that waits for the result; see
        `MessageQueue.poll_once` and `MessageQueue.poll`.
        """
        listener = _listener(home, callback, once)
        named = client_id is not None
        # A random name, so that no other client can take this place over.
        name = checked_name("client_id", client_id) if named else secrets.token_hex(16)
        poll = _poll(listener)
        # Raises if there is no loop, before anything has changed.
        _check_loop()
        home.check_thread("poll", "mq")
        peer = peers.of(callback)
        if peer is not None and last_event_id is None:
            last_event_id = self._said(peer, name if named else None)
        known = self._roster.clients.get(name)
        if last_event_id and (known is None or last_event_id != known.place.cursor):
            if not isinstance(last_event_id, str):
                raise TypeError(f"last_event_id must be a str, not {type(last_event_id).__name__}")
            last_event_id = self._source.log.normalized(last_event_id)
        if peer is not None:
            if not peer._peer_watch(listener):
                self._takeover.dismiss(name, listener, peer)
                return poll
            listener.peer = peer
        client = known or self._enter(home, name, named)
        poll.new = self._departures.subscribe(client, on_unsubscribe)
        superseded = client.listener
        was_waiting = client.state in (LISTENING, LOADING)
        self._roster.returned(client)
        self._source.occupied()
        # The timer for absent clients may belong to a loop that is now closed.
        self._source.watch_here()
        if superseded is not None:
            self._takeover.inherit(client, superseded, peer)
        left_at = cursor = client.place.cursor
        if last_event_id:
            if last_event_id != cursor or known is None:
                # A client with a cursor is not new.
                client.place, cursor = Place(last_event_id), last_event_id
            client.new = False
        listener.begin()
        listener.client = client
        # User code may run before the poll begins. The events that this client needs must not be
        # dropped meanwhile.
        self._roster.busy(client)
        if cursor and cursor != self._source.log.top:
            self._source.hold(cursor)
        if named and superseded is None:
            poll.arrival = self._source.arrive(name, getattr(on_unsubscribe, "hook", ""))
        found = bool(last_event_id) or (superseded is not None and bool(cursor))
        elsewhere = name if named and not found else None
        search = self._search(client, elsewhere)
        if search is None:
            if not client.cursor:
                client.place = self._newcomer()
            client.listen(listener)
        else:
            if client.new:
                # The engine may find that the client comes from another process.
                if isinstance(client.place, Place) and client.cursor:
                    search.start = client.place
                client.place = Place("")
            client.load(listener)
            listener.timer = search
        poll.cursor = client.cursor
        if superseded is not None:
            self._takeover.supersede(client, superseded, was_waiting, left_at, peer)
        if client.listener is not listener:
            return poll
        if search is None:
            self._begin(home, client, listener, timeout)
        else:
            # Even with a timeout of 0, the poll waits for the engine, but only briefly.
            search.timer = _timer(listener, LOAD_TIME if timeout == 0 else timeout)
            search.finding.add_done_callback(partial(self._found, home, listener, timeout, search))
        return poll

    def _search(self, client: Client, elsewhere: str | None) -> Search | None:
        """Ask the engine for the place of a client and the events after it, if necessary."""
        cursor = None if client.new else client.cursor or None
        if elsewhere is None and self._source.loaded and cursor in (None, self._source.log.top):
            # The client is new, or has every event.
            return None
        finding = self._source.locate(elsewhere, cursor)
        return None if finding is None else Search(asyncio.ensure_future(finding))

    def _enter(self, home: Home, client_id: str, named: bool) -> Client:
        """Add a client that is unknown here."""
        self._source.admit(home)
        client = self._roster.clients.get(client_id)
        # An `on_unsubscribe` of a client that was removed to make room may have polled with this
        # name.
        if client is None:
            place = self._newcomer() if self._source.loaded else Place("")
            client = self._roster.add(Client(client_id, place, named))
            self._source.added()
        return client

    def _newcomer(self) -> Place:
        """The place of a client that is new."""
        return Place(*self._source.newcomer())

    def _said(self, peer: peers.Peer, name: str | None) -> str | None:
        """The cursor that a poll gets from its request. The cursor that the client sent is used
        only once: a later poll in the same request resumes where the previous poll ended.
        """
        client = None if name is None else self._roster.clients.get(name)
        place = peer._peer_place(self._source.key, name)
        if place is not None:
            return place if client is None else None
        listener = None if client is None else client.listener
        goes_on = listener is not None and listener.peer is peer
        return None if goes_on else peer._peer_cursor()

    def _found(
        self,
        home: Home,
        listener: Listener,
        timeout: float | None,
        search: Search,
        finding: asyncio.Future[str | None],
    ) -> None:
        """The engine has found the place of a client, and loaded the events after it."""
        client = listener.client
        if finding.cancelled() or client is None or client.listener is not listener:
            return
        error = finding.exception()
        if isinstance(error, Exception):
            if isinstance(error, HTTPError) or not self._source.loaded:
                self._turn_away(client, listener, error)
                return
            _log.error("channel %r could not be read", self._source.key, exc_info=error)
        cursor = NOWHERE if error is not None else finding.result()
        if cursor and (error is None or client.new):
            # A client that may come from another process is not new: it gets a gap.
            client.place = Place(self._source.log.normalized(cursor))
            client.new = False
        elif not client.cursor:
            client.place = search.start or self._newcomer()
        listener.timer = search.timer
        client.listen(listener)
        self._begin(home, client, listener, timeout)

    def _turn_away(self, client: Client, listener: Listener, error: Exception) -> None:
        """The engine cannot serve a client at the moment. A stream ends, and its
        client reconnects.
        """
        peer = listener.peer
        self._departures.leave(client, listener, error, expected=True)
        if peer is None:
            if listener.callback is not None:
                self._delivery.report(client.id, error, None)
        elif listener.once:
            peer._peer_failed(error)
        else:
            peer._peer_finish()

    def _begin(self, home: Home, client: Client, listener: Listener, timeout: float | None) -> None:
        """Give `listener` the present events, or let it wait."""
        peer = listener.peer
        if peer is not None and not listener.once:
            if client.named:
                listener.trail = Trail(self._source.log.known(client.cursor))
            peer._peer_at(client.cursor)
            if not listener.waits():
                return
            callback = listener.callback
            if callback is not None and peer._peer_reads(callback):
                self._read(home, client, listener, peer)
                return
        log = self._source.log
        events = log.since(client.cursor, client.lead)
        if not events and timeout == 0 and log.ended:
            events = log.again()
        if events or timeout == 0:
            self._delivery.deliver(client, events)
            return
        if log.ended:
            listener.stop_timer()
            again = partial(self._again, listener, timeout, client.cursor)
            listener.timer = asyncio.get_running_loop().call_later(
                min(timeout or AGAIN, AGAIN), again
            )
        self._delivery.ready(client)
        if listener.timer is None:
            if timeout is not None and SHORT <= timeout <= LONG:
                Timeouts.add(listener, timeout)
            else:
                listener.timer = _timer(listener, timeout)

    def _again(self, listener: Listener, timeout: float | None, cursor: str) -> None:
        """Give the end of the log again to a client that had every event, including the end, when
        it polled.
        """
        client, log = listener.client, self._source.log
        listener.timer = None
        if client is None or client.state is not LISTENING:
            return
        if log.ended and client.cursor == cursor:
            self._delivery.deliver(client, log.again())
        elif listener.once:
            listener.timer = _timer(listener, timeout)
        else:
            # The client may have every event up to a later end.
            self._delivery.deliver(client, None)

    def _read(self, home: Home, client: Client, listener: Listener, peer: peers.Peer) -> None:
        """Let the stream of `peer` read the log itself."""
        client.new = False
        reading = peer._peer_read(home, client.cursor, client.lead)
        if client.listener is not listener:
            # The first bytes could not be sent.
            reading.stop()
            return
        client.place = listener.reading = reading
        self._roster.ready(client)


def _listener(home: Home, callback: Callable[..., Any] | None, once: bool) -> Listener:
    if callback is None:
        return Mailbox(home, once)
    if not callable(callback):
        raise TypeError(f"not a callback: {callback!r}")
    return Listener(home, callback, once)


def _poll(listener: Listener) -> Poll:
    if not isinstance(listener, Mailbox):
        return Poll(listener)
    return AwaitedPoll(listener) if listener.once else IteratedPoll(listener)


def _timer(listener: Listener, timeout: float | None) -> asyncio.TimerHandle | None:
    if timeout is None or timeout == float("inf"):
        return None
    return asyncio.get_running_loop().call_later(timeout, listener.timed_out)


def _check_loop() -> None:
    if asyncio._get_running_loop() is None:
        mend = "poll in a handler, a coroutine, or a callback of IOLoop.current().add_callback"
        raise RuntimeError(f"no running event loop: {mend}")

"""The clients that listen to a source: how they come and how their polls end.

Rules:
1. A client has one listener; a second poll of the same client takes over from the first.
2. A peer gets the cursor of its client when a stream begins, before any event is delivered, and
   before a long poll is answered with no events. (An answer with events has the cursor anyway.)
3. A client gets no gap before the engine has answered whether it has the events: until then the
   client is LOADING.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any

from tatsumaki_py.error import HTTPError
from tatsumaki_py.message_queue import peer as peers
from tatsumaki_py.message_queue.client import (
    LISTENING,
    LOADING,
    Client,
    Listener,
    Place,
)
from tatsumaki_py.message_queue.delivery import Delivery
from tatsumaki_py.message_queue.departures import Departures
from tatsumaki_py.message_queue.ids import NOWHERE
from tatsumaki_py.message_queue.log import EventLog
from tatsumaki_py.message_queue.mailbox import Mailbox, Poll
from tatsumaki_py.message_queue.names import checked_name
from tatsumaki_py.message_queue.roster import Roster
from tatsumaki_py.message_queue.source import Log, Source
from tatsumaki_py.message_queue.takeover import Takeover
from tatsumaki_py.message_queue.thread import LoopThread
from tatsumaki_py.message_queue.trail import Trail

__all__ = ["Audience"]

LOAD_TIME = 5.0
"""Seconds for which a poll with a time-out of 0 waits for the engine."""

_log = logging.getLogger("tatsumaki")


class _Search:
    """A poll that waits until the engine has found the place of its client, or for its time-out."""

    __slots__ = ("finding", "start", "timer")

    def __init__(self, finding: asyncio.Future[str | None]) -> None:
        self.finding = finding
        self.timer: asyncio.TimerHandle | None = None
        self.start = ""
        """Where the client begins if it is new, once the log is loaded."""

    def cancel(self) -> None:
        """End the search: the poll has ended."""
        # Queues may outlive a loop.
        if not self.finding.get_loop().is_closed():
            self.finding.cancel()
        if self.timer is not None:
            self.timer.cancel()


class Audience:
    """The clients of one source."""

    def __init__(self, source: Source, thread: LoopThread) -> None:
        self._source = source
        self._thread = thread
        self.roster = Roster()
        self._departures = Departures(self.roster, source)
        self._delivery = Delivery(self.roster, source, self._departures)
        self._takeover = Takeover(source, self._delivery)
        self.readers: dict[Hashable, peers.Reader] = {}
        """See `Readable.readers`."""

    # -- the log, for streams that read it by themselves; see `Readable`

    @property
    def key(self) -> str | tuple[str, ...]:
        """See `Source.key`."""
        return self._source.key

    @property
    def log(self) -> Log:
        """See `Source.log`."""
        return self._source.log

    # -- for the source; see `Follower`

    def follow(self) -> bool:
        """See `Follower.follow`."""
        for reader in self.readers.values():
            reader.follow()
        return self._delivery.follow() or bool(self.readers or self.roster.behind)

    def loaded(self) -> None:
        """See `Follower.loaded`."""
        if self._source.loaded:
            for client in self.roster.behind.values():
                search = None if client.listener is None else client.listener.timer
                if isinstance(search, _Search) and not client.cursor:
                    search.start = self._source.first_cursor()

    def flush(self) -> None:
        """Call all listeners with no events."""
        self._delivery.flush()
        for client in tuple(self.roster.behind.values()):
            listener = client.listener
            if client.state is LOADING and listener is not None and listener.once:
                self._end_empty(client, listener)

    @property
    def behind(self) -> int:
        """See `Follower.behind`."""
        return len(self.roster.behind) + 2 * len(self.readers)

    def lowest(self, channel: str) -> str | None:
        """The oldest cursor in `channel` after which events are still needed."""
        log = self._source.log
        told = self._delivery.lowest()
        places = [*self._departures.places(), *([] if told is None else [told])]
        for reader in self.readers.values():
            places.extend(reader.places())
        lowest: str | None = None
        for place in dict.fromkeys(places):
            part = log.part(place, channel)
            lowest = part if lowest is None else EventLog.earlier(lowest, part)
        return lowest

    async def ready(self) -> None:
        """Wait until the log is loaded."""
        await self._source.ready()

    def clear(self) -> None:
        """Forget all clients."""
        self._departures.clear()

    def due(self) -> float | None:
        """The time at which the next client is to be forgotten."""
        return self.roster.due()

    def forget_late(self, time: float) -> None:
        """Forget the clients that did not come back until `time`."""
        self._departures.forget_late(time)

    @property
    def subscribers(self) -> int:
        """How many clients are not known to be gone."""
        return len(self.roster.subscribed)

    # -- coming

    def listen(
        self,
        client_id: str | int | None,
        callback: Callable[..., Any] | None,
        last_event_id: str | None,
        on_unsubscribe: Callable[[], Any] | None,
        timeout: float | None,
        *,
        once: bool,
    ) -> Poll:
        """Let `callback`, or the code that waits for the result, have the events of a client; see
        `MessageQueue.poll_once` and `MessageQueue.poll`.
        """
        listener = self._listener(callback, once)
        named = client_id is not None
        # A random name, so that no other client can take this place over.
        name = checked_name("client_id", client_id) if named else secrets.token_urlsafe(16)
        poll = Poll(listener)
        # Raises if there is none, before anything has changed.
        _check_loop()
        self.check_thread("poll", "mq")
        peer = peers.of(callback)
        if peer is not None and last_event_id is None:
            last_event_id = self._said(peer, name if named else None)
        if last_event_id:
            if not isinstance(last_event_id, str):
                raise TypeError(f"last_event_id is a str, not {type(last_event_id).__name__}")
            last_event_id = self._source.log.normalized(last_event_id)
        if peer is not None:
            if not peer._peer_watch(listener):
                self._takeover.dismiss(name, listener, peer)
                return poll
            listener.peer = peer
        known = self.roster.clients.get(name)
        client = known or self._enter(name, named)
        poll.new = self._departures.subscribe(client, on_unsubscribe)
        superseded = client.listener
        was_waiting = client.state in (LISTENING, LOADING)
        self.roster.returned(client)
        self._source.occupied()
        # Clients may have left in a loop that is closed.
        self._source.watch()
        if superseded is not None:
            self._takeover.inherit(client, superseded, peer)
        left_at = client.cursor
        if last_event_id:
            client.place = Place(last_event_id)
            client.new = False
        listener.begin()
        listener.client = client
        # User code that is called meanwhile must not take away what this client still needs.
        self.roster.busy(client)
        if client.cursor:
            self._source.hold(client.cursor)
        found = bool(last_event_id) or (superseded is not None and bool(client.cursor))
        elsewhere = name if named and not found else None
        search = self._search(client, elsewhere)
        if search is None:
            if not client.cursor:
                client.place = Place(self._source.first_cursor())
            client.listen(listener)
        else:
            if client.new:
                # It may turn out to have been elsewhere.
                search.start, client.place = client.cursor, Place("")
            client.load(listener)
            listener.timer = search
        poll.cursor = client.cursor
        if superseded is not None:
            self._takeover.supersede(client, superseded, was_waiting, left_at, peer)
        if client.listener is not listener:
            return poll
        if search is None:
            self._begin(client, listener, timeout)
        else:
            # Code that wants the present events, without waiting for more, waits for the engine.
            search.timer = self._timer(listener, LOAD_TIME if timeout == 0 else timeout)
            search.finding.add_done_callback(partial(self._found, listener, timeout, search))
        return poll

    def _search(self, client: Client, elsewhere: str | None) -> _Search | None:
        """Ask the engine for the place of a client and the events after it, if need be."""
        cursor = None if client.new else client.cursor or None
        finding = self._source.locate(elsewhere, cursor)
        return None if finding is None else _Search(asyncio.ensure_future(finding))

    def _listener(self, callback: Callable[..., Any] | None, once: bool) -> Listener:
        if callback is None:
            return Mailbox(self, once)
        if not callable(callback):
            raise TypeError(f"not a callback: {callback!r}")
        return Listener(self, callback, once)

    def _enter(self, client_id: str, named: bool) -> Client:
        """A client that is not known here."""
        self._source.admit(self)
        client = self.roster.clients.get(client_id)
        # `on_unsubscribe` of clients that made room may have polled with this name.
        if client is None:
            place = Place(self._source.first_cursor() if self._source.loaded else "")
            client = self.roster.add(Client(client_id, place, named))
            self._source.added()
        return client

    def _said(self, peer: peers.Peer, name: str | None) -> str | None:
        """The cursor that a request gives to a poll. The one that the client sent counts once: a
        later poll goes on where the one before ended.
        """
        client = None if name is None else self.roster.clients.get(name)
        place = peer._peer_place(self.key, name)
        if place is not None:
            return place if client is None else None
        listener = None if client is None else client.listener
        goes_on = listener is not None and listener.peer is peer
        return None if goes_on else peer._peer_cursor()

    def _found(
        self,
        listener: Listener,
        timeout: float | None,
        search: _Search,
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
            _log.error("channel %r could not be read", self.key, exc_info=error)
        cursor = NOWHERE if error is not None else finding.result()
        if cursor and (error is None or client.new):
            # A client that may have been elsewhere is not new: it gets a gap.
            client.place = Place(self._source.log.normalized(cursor))
            client.new = False
        elif not client.cursor:
            client.place = Place(search.start or self._source.first_cursor())
        listener.timer = search.timer
        client.listen(listener)
        self._begin(client, listener, timeout)

    def _turn_away(self, client: Client, listener: Listener, error: Exception) -> None:
        """The engine cannot serve a client for now. A stream ends, and its client comes back."""
        peer = listener.peer
        self._departures.leave(client, listener, error, expected=True)
        if peer is None:
            if listener.callback is not None:
                self._delivery.report(client.id, error, None)
        elif listener.once:
            peer._peer_failed(error)
        else:
            peer._peer_finish()

    def _end_empty(self, client: Client, listener: Listener) -> None:
        """End the poll of a client that is expected back; a long poll is answered with no
        events.
        """
        waiting = client.state in (LISTENING, LOADING)
        if self._delivery.serves(listener):
            # A callback that disconnects all has its events.
            self._delivery.finish(client, listener)
        self._delivery.take_back(client, listener)
        self._departures.away(client)
        self._takeover.supersede(client, listener, waiting, client.cursor, None)
        if not client.named:
            self._departures.unsubscribe(client)

    def _begin(self, client: Client, listener: Listener, timeout: float | None) -> None:
        """Give `listener` the events that there are, or let it wait."""
        peer = listener.peer
        if peer is not None and not listener.once:
            if client.named:
                listener.trail = Trail(self._source.log.known(client.cursor))
            peer._peer_at(client.cursor)
            if not listener.waits():
                return
            callback = listener.callback
            if callback is not None and peer._peer_reads(callback):
                self._read(client, listener, peer)
                return
        events = self._source.log.since(client.cursor, client.new)
        if events or timeout == 0:
            self._delivery.deliver(client, events)
            return
        self._delivery.ready(client)
        if listener.timer is None:
            listener.timer = self._timer(listener, timeout)

    def _read(self, client: Client, listener: Listener, peer: peers.Peer) -> None:
        """Let the stream of `peer` read the log by itself."""
        quiet, client.new = client.new, False
        reading = peer._peer_read(self, client.cursor, quiet)
        if client.listener is not listener:
            # The first bytes could not be sent.
            reading.stop()
            return
        client.place = listener.reading = reading
        self.roster.ready(client)

    def _timer(self, listener: Listener, timeout: float | None) -> asyncio.TimerHandle | None:
        if timeout is None or timeout == float("inf"):
            return None
        return asyncio.get_running_loop().call_later(timeout, listener.timed_out)

    # -- going

    def disconnect(self) -> None:
        """End all polls; see `MessageQueue.disconnect`."""
        for client in list(self.roster.clients.values()):
            if client.listener is not None:
                self._end_empty(client, client.listener)
        self._source.watch()

    def give(self, client_id: str, bodies: list[bytes]) -> bool:
        """Give events to one client, and to no other; see `MessageQueue.flush_events`."""
        client = self.roster.clients.get(client_id)
        return client is not None and self._delivery.give(client, bodies)

    def left(self, listener: Listener, error: Exception | None = None, lost: bool = False) -> None:
        """See `ListenedTo.left`."""
        client = listener.client
        if client is None or client.listener is not listener:
            listener.end(error)
            return
        if error is None and self._delivery.serves(listener):
            # A callback that ends its own poll has its events.
            self._delivery.finish(client, listener)
        self._delivery.take_back(client, listener)
        if lost:
            self._takeover.go_back(client, listener)
        self._departures.leave(client, listener, error)

    def served(self, listener: Listener) -> None:
        """The answer of `listener` is complete."""
        self._delivery.served(listener)

    def received(self, listener: Listener) -> None:
        """`listener` has taken the events that it held."""
        self._delivery.received(listener)

    def passes(self, listener: Listener, cursor: str) -> None:
        """The stream of `listener`, which is late, is about to read the events after `cursor`."""
        self._delivery.passes(listener, cursor)

    def blocked(self, listener: Listener, blocked: bool) -> None:
        """A stream does not keep up, or does so again: keep the events that are not sent yet."""
        client = listener.client
        if client is None or client.state is not LISTENING or listener.reading is not None:
            return
        if not blocked:
            self.roster.behind.pop(client.id, None)
        elif listener.peer is not None:
            self.roster.behind[client.id] = client
            self._source.hold(listener.peer._peer_unsent(self.key) or client.cursor)

    def timed_out(self, listener: Listener) -> None:
        """The time-out of `listener` has passed without an event."""
        client = listener.client
        if client is None or client.listener is not listener:
            return
        if client.state is LISTENING:
            self._delivery.deliver(client, ())
        elif client.state is LOADING:
            self._end_empty(client, listener)
            self._source.watch()

    # -- the loop's thread; see `ListenedTo`

    def check_thread(self, method: str, of: str) -> None:
        """Raise `RuntimeError` if this thread is not that of the event loop."""
        self._thread.check(method, of)

    def in_thread(self, call: Callable[[], None]) -> None:
        """Make `call` in the thread of the event loop."""
        self._thread.run(call)


def _check_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        mend = "poll in a handler, a coroutine or a callback of IOLoop.current().add_callback"
        raise RuntimeError(f"no running event loop: {mend}") from None

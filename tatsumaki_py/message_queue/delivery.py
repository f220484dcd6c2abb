"""Calls the callbacks of listeners with their events.

Rules:
1. `follow` calls all listeners before it returns. Events that a callback publishes meanwhile are
   delivered by the same pass, after the others: all listeners see the order of the log.
2. A callback that raises disturbs no other client. No callback is called in the middle of a change.

Three fields keep these rules when a callback publishes, polls or ends its own poll:
`_telling` is true while a pass runs, so a pass inside it leaves the rest to the outer one;
`_told_now` is the listener whose callback the pass runs now, `_calling` the one whose callback
`deliver` runs now, which may be inside the other. A task that a callback started is known by the
context variable `serving`.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Awaitable, Sequence
from contextvars import Context
from typing import Any

from tatsumaki_py.error import ClientDisconnect, HTTPError
from tatsumaki_py.message_queue import peer as peers
from tatsumaki_py.message_queue.alarm import now
from tatsumaki_py.message_queue.callback import RAISED, failure, is_awaited
from tatsumaki_py.message_queue.client import (
    DELIVERING,
    LISTENING,
    Client,
    Listener,
    Place,
    serving,
)
from tatsumaki_py.message_queue.departures import Departures
from tatsumaki_py.message_queue.event import Entry, Event
from tatsumaki_py.message_queue.mailbox import PENDING
from tatsumaki_py.message_queue.roster import Roster
from tatsumaki_py.message_queue.source import Source

__all__ = ["Delivery"]

MAX_ANSWER = 1024 * 1024
"""Bytes in the answer of one long poll, and in one batch for code without a peer, unless one event
has more. They are counted as `Entry.work`.
"""
TURN = 0.01
"""Seconds after which a stream that gets its backlog gives way to other work of the loop."""

_log = logging.getLogger("tatsumaki")


async def _after_a_turn(drained: Awaitable[None] | None) -> None:
    if drained is not None:
        await drained
    await asyncio.sleep(0)


def _some(events: Sequence[Entry], limit: int) -> Sequence[Entry]:
    """The first of `events`, up to `limit` bytes of them, but one at least."""
    size = 0
    for count, event in enumerate(events):
        size += event.work
        if count and size > limit:
            return events[:count]
    return events


def _alike(events: Sequence[Entry]) -> Sequence[Entry]:
    """The first of `events`: those before the first change between quiet and not quiet."""
    return [*itertools.takewhile(lambda event: event.quiet == events[0].quiet, events)]


class Delivery:
    """Hands the events of a source to the clients of a roster."""

    def __init__(self, roster: Roster, source: Source, departures: Departures) -> None:
        self._roster = roster
        self._source = source
        self._departures = departures
        self._told = Place(source.log.top)
        """The place of the clients that listen with a callback; during a pass, the one after it."""
        self._from = self._told
        """During a pass, the place of the clients whose callbacks were not called yet."""
        self._telling = False
        self._calling: Listener | None = None
        self._told_now: Listener | None = None

    # -- all listeners

    def flush(self) -> None:
        """Call all listeners with no events."""
        for client in tuple(self._roster.listening()):
            if self.reachable(client):
                self.deliver(client, ())

    def follow(self) -> bool:
        """Bring all listeners to the top of the log; see rule 1. Returns whether an outer pass does
        that.
        """
        if self._telling:
            return True
        roster, log = self._roster, self._source.log
        if not roster.streams and not roster.waiting:
            return False
        self._telling = True
        # Callbacks do not run on behalf of the request that publishes.
        token = peers.current.set(None)
        try:
            while self._told.cursor != log.top:
                events = _alike(log.since(self._told.cursor, True))
                start = self._from = self._told
                self._told = Place(events[-1].id)
                if events[0].quiet:
                    self._pass_over(start)
                else:
                    self._tell(start, events)
        finally:
            peers.current.reset(token)
            self._telling = False
            self._told_now = None
        return False

    def lowest(self) -> str | None:
        """During a pass, the cursor of the clients whose callbacks were not called yet."""
        return self._from.cursor if self._telling else None

    def _pass_over(self, start: Place) -> None:
        """Move the listeners past events that only new clients get."""
        for client in self._roster.listening():
            if client.place is start:
                client.place = self._told

    def _tell(self, start: Place, events: Sequence[Entry]) -> None:
        """Give `events` to all that listen; all but newcomers are at `start`."""
        told = self._told
        # Made once for all that are code of users.
        dicts: list[Event] | None = None
        for client in tuple(self._roster.waiting.values()):
            if client.state is LISTENING:
                self.deliver(client, events if client.place is start else None)
        for client in tuple(self._roster.streams.values()):
            if client.state is not LISTENING:
                continue
            if client.place is not start:
                self.deliver(client, None)
                continue
            # The fast path: a stream that keeps up.
            listener = client.listener
            self._told_now = listener
            try:
                if listener.raw:  # type: ignore[union-attr]
                    result = listener.call(*events)  # type: ignore[union-attr, misc]
                else:
                    if dicts is None:
                        dicts = [entry.event() for entry in events]
                    result = listener.call(*dicts)  # type: ignore[union-attr, misc]
            except RAISED as error:
                self._told_in_vain(client, listener, told, error)
                continue
            if client.listener is listener:
                if result is None:
                    client.place = told
                else:
                    self._told_slowly(client, listener, told, result)
        self._told_now = None

    def _told_in_vain(
        self, client: Client, listener: Listener | None, told: Place, error: BaseException
    ) -> None:
        """The fast path ended in an exception."""
        assert listener is not None
        self._told_now = None
        if client.listener is listener:
            self._give(client, told)
        if self.failed(client, listener, error):
            self.deliver(client, None)

    def _told_slowly(
        self, client: Client, listener: Listener | None, told: Place, result: Any
    ) -> None:
        """The fast path got something that may have to be waited for."""
        assert listener is not None
        if result is not PENDING and not is_awaited(result):
            client.place = told
            return
        self._told_now = None
        self._give(client, told)
        if not self._hold(client, listener, listener.context, result) and self._settle(
            client, listener
        ):
            self.deliver(client, None)

    # -- one client

    def reachable(self, client: Client) -> bool:
        """Whether `client` can be given something now."""
        return client.state is LISTENING and client.listener is not self._told_now

    def serves(self, listener: Listener) -> bool:
        """Whether this is called by the callback of `listener`."""
        return listener in (self._calling, self._told_now, serving.get())

    def finish(self, client: Client, listener: Listener) -> None:
        """`client` has what `listener` was called with, as its callback says by ending its poll, by
        polling again or by completing the answer.
        """
        if client.state is DELIVERING:
            client.confirm()
        elif listener is self._told_now:
            client.place = self._told

    def ready(self, client: Client) -> None:
        """`client` has everything and waits for the next event."""
        client.new = False
        top, roster = self._source.log.top, self._roster
        if self._told.cursor != top and not (self._telling or roster.streams or roster.waiting):
            # Otherwise the others have yet to be called: a pass begins soon.
            self._told = Place(top)
        # Perhaps there was something for newcomers only.
        client.place = self._told if self._told.cursor == top else Place(top)
        self._roster.ready(client)

    def _give(self, client: Client, delivered: Place) -> None:
        """Events up to `delivered` are on their way to `client`."""
        client.deliver(delivered)
        self._roster.busy(client)
        self._source.hold(client.cursor)

    def give(self, client: Client, bodies: Sequence[bytes]) -> bool:
        """Give one client events that are not in the log. False if it cannot take them now."""
        listener = client.listener
        if listener is None or not self.reachable(client):
            return False
        reading = listener.reading
        if reading is not None:
            # The events come after those that were published before, or not at all.
            reading.catch_up()
            if not listener.waits():
                return False
        cursor, channel = client.cursor, str(self._source.key)
        events = [Entry(body, cursor, cursor, channel=channel) for body in bodies]
        if reading is None:
            self.deliver(client, events, whole=True)
            return True
        # Its place in the log stays.
        assert listener.call is not None
        try:
            listener.call(*(events if listener.raw else [entry.event() for entry in events]))
        except RAISED as error:
            self.failed(client, listener, error)
        return True

    def deliver(
        self, client: Client, events: Sequence[Entry] | None, *, whole: bool = False
    ) -> None:
        """Give one client `events` (None: all after its place), then what was published
        meanwhile. Of many `events`, only the first are given and the others are read from the log,
        unless `whole`.
        """
        began = time.perf_counter()
        while True:
            if events is None:
                events = self._source.log.since(client.cursor, client.new)
                if not events:
                    self.ready(client)
                    return
            listener = client.listener
            assert listener is not None
            assert listener.call is not None
            peer = listener.peer
            if not whole:
                room = MAX_ANSWER if listener.once or peer is None else peer._peer_room()
                events = _some(events, room)
            whole = False
            context = listener.context
            self._give(client, Place(events[-1].id) if events else Place(client.cursor))
            listener.stop_timer()
            self.passes(listener, client.cursor)
            if listener.once and not listener.keeps:
                listener.note(client.delivered.cursor)
            outer, self._calling = self._calling, listener
            try:
                if not events and listener.once and peer is not None:
                    peer._peer_at(client.cursor)
                given = events if listener.raw else [entry.event() for entry in events]
                result = listener.call(*given)
            except RAISED as error:
                if not self.failed(client, listener, error):
                    return
                events = None
                continue
            finally:
                self._calling = outer
            more = not listener.once and client.delivered.cursor != self._source.log.top
            if result is None and more:
                if peer is not None:
                    # A slow client must not get its whole backlog in one write.
                    result = peer._peer_drain()
                if time.perf_counter() - began > TURN:
                    result = _after_a_turn(result)
            if result is not None and self._hold(client, listener, context, result):
                return
            if not self._settle(client, listener):
                return
            events = None

    def passes(self, listener: Listener, cursor: str) -> None:
        """The events after `cursor` are about to be sent; they may turn out not to have arrived."""
        if listener.trail is not None:
            listener.trail.step(cursor, now(), self._source.recovery_time)

    def _hold(
        self, client: Client, listener: Listener, context: Context | None, result: Any
    ) -> bool:
        """Wait for what a callback returned. False if there is nothing to wait for."""
        if result is PENDING:
            return True
        if not is_awaited(result):
            return False

        def done(future: asyncio.Future[Any]) -> None:
            error = failure(future)
            if error is None:
                self.received(listener)
            elif self.failed(client, listener, error):
                self.deliver(client, None)

        try:
            run = Context() if context is None else context
            run.run(asyncio.ensure_future, result).add_done_callback(done)
        except Exception as error:
            if self.failed(client, listener, error):
                self.deliver(client, None)
        return True

    def received(self, listener: Listener) -> None:
        """`listener` has taken the events that it held."""
        client = listener.client
        if client is not None and self._settle(client, listener):
            self.deliver(client, None)

    def _settle(self, client: Client, listener: Listener) -> bool:
        """A callback is done with its events. Returns whether it may have more."""
        if client.listener is not listener:
            return False
        if listener.once:
            listener.note(client.delivered.cursor)
            if listener.peer is None:
                self.served(listener)
            return False
        client.confirm()
        return True

    def served(self, listener: Listener) -> None:
        """The answer is complete."""
        client = listener.client
        if client is not None and client.listener is listener:
            if listener.has_all():
                self.finish(client, listener)
            self.take_back(client, listener)
            self._departures.leave(client, listener, expected=True)

    def take_back(self, client: Client, listener: Listener) -> None:
        """Move `client` back before the events that were written but not taken by the kernel."""
        if listener.reading is not None:
            # What waits for the end of a burst would be sent all the same, and come twice.
            listener.reading.catch_up()
            client.place = Place(listener.reading.cursor)
        elif listener.peer is not None:
            listener.peer._peer_drain()
            unsent = listener.peer._peer_unsent(self._source.key)
            if unsent:
                client.place = Place(unsent)

    def failed(self, client: Client, listener: Listener, error: BaseException) -> bool:
        """A callback raised. A client with a peer is cut off and comes back; code goes on after the
        events that it choked on: then this returns True.
        """
        peer = listener.peer
        current = client.listener is listener
        if current and (peer is not None or listener.once or isinstance(error, ClientDisconnect)):
            self._departures.leave(client, listener)
            current = False
        self.report(client.id, error, peer)
        if not current or client.listener is not listener:
            return False
        client.confirm()
        return True

    def report(self, client_id: str, error: BaseException, peer: peers.Peer | None) -> None:
        """Log what a callback raised, and answer its request."""
        answered = isinstance(error, HTTPError) and peer is not None
        if not answered and not isinstance(error, ClientDisconnect):
            _log.error(
                "callback of client %r on channel %r raised",
                client_id,
                self._source.key,
                exc_info=error,
            )
        if peer is not None:
            peer._peer_failed(error)

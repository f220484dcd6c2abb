"""Calls the callback of one client with its events, and waits for what the callback returns.

Rules:
1. An exception in a callback does not affect other clients.
2. No callback is called in the middle of a change.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Sequence
from contextvars import Context
from typing import Any

from tatsumaki_py.counters import COUNTERS
from tatsumaki_py.error import ClientDisconnect, HTTPError
from tatsumaki_py.message_queue import peer as peers
from tatsumaki_py.message_queue.alarm import now
from tatsumaki_py.message_queue.batch import MAX_ANSWER, Batch
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
from tatsumaki_py.message_queue.ending import Ending
from tatsumaki_py.message_queue.event import Entry
from tatsumaki_py.message_queue.front import Front
from tatsumaki_py.message_queue.mailbox import PENDING
from tatsumaki_py.message_queue.names import Pseudonym
from tatsumaki_py.message_queue.roster import Roster
from tatsumaki_py.message_queue.source import Source

__all__ = ["Delivery"]

TURN = 0.01
"""Seconds after which the delivery of a backlog yields to other work of the loop."""

_log = logging.getLogger("tatsumaki")


async def _after_a_turn(drained: Awaitable[None] | None) -> None:
    if drained is not None:
        await drained
    await asyncio.sleep(0)


class Delivery:
    """Delivers the events of a source to one client at a time."""

    def __init__(
        self,
        roster: Roster,
        source: Source,
        departures: Departures,
        front: Front,
        ending: Ending,
    ) -> None:
        self._roster = roster
        self._source = source
        self._departures = departures
        self._front = front
        self._ending = ending

    def reachable(self, client: Client) -> bool:
        """Whether events can be delivered to `client` now."""
        return client.state is LISTENING and client.listener is not self._front.told_now

    def serves(self, listener: Listener) -> bool:
        """Whether the callback of `listener` is the caller."""
        return listener in (self._front.calling, self._front.told_now, serving.get())

    def finish(self, client: Client, listener: Listener) -> None:
        """`client` has received the events of `listener`: its callback has ended its poll, polled
        again or completed the answer.
        """
        if client.state is DELIVERING:
            client.confirm()
        elif listener is self._front.told_now:
            client.place = self._front.told

    def ready(self, client: Client) -> None:
        """`client` has all events and waits for the next one."""
        client.new = False
        top, roster, front = self._source.log.top, self._roster, self._front
        others = front.telling or roster.streams or roster.waiting
        if front.told.cursor != top and not others:
            # If there are other listeners, the next pass moves `told` when it calls them.
            front.told = front.start = Place(top)
        # There may have been events for new clients only.
        client.place = front.told if front.told.cursor == top else Place(top)
        roster.ready(client)
        if self._source.log.ended:
            self._ending.look()

    def under_way(self, client: Client, delivered: Place) -> None:
        """Events up to `delivered` are on their way to `client`."""
        client.deliver(delivered)
        self._roster.busy(client)
        self._source.hold(client.cursor)

    def give(self, client: Client, bodies: Sequence[bytes]) -> bool:
        """Deliver events that are not in the log to one client. Returns False if the client cannot
        take them now.
        """
        listener = client.listener
        if listener is None or not self.reachable(client):
            return False
        reading = listener.reading
        if reading is not None:
            # The events must come after those published earlier, or not at all.
            reading.catch_up()
            if not listener.waits():
                return False
        cursor, channel = client.cursor, str(self._source.key)
        events = [Entry(body, cursor, cursor, channel=channel) for body in bodies]
        if reading is None:
            self.deliver(client, events, whole=True)
            return True
        # These events are not in the log, so the client stays at its place.
        assert listener.call is not None
        try:
            listener.call(*(events if listener.raw else [entry.event() for entry in events]))
        except RAISED as error:
            self.failed(client, listener, error)
        return True

    def deliver(
        self, client: Client, events: Sequence[Entry] | None, *, whole: bool = False
    ) -> None:
        """Deliver `events` (None: all after the client's place) to one client, followed by events
        published meanwhile. Unless `whole`, only the first of many `events` are delivered, and the
        others are read from the log later.
        """
        began = time.perf_counter()
        while True:
            if events is None:
                events = self._source.log.since(client.cursor, client.lead)
                if not events:
                    self.ready(client)
                    return
            listener = client.listener
            assert listener is not None
            assert listener.call is not None
            peer = listener.peer
            room = MAX_ANSWER if listener.once or peer is None else peer._peer_room()
            place = client.place if isinstance(client.place, Place) else Place(client.cursor)
            batch = Batch(events, place, self._source.log, float("inf") if whole else room)
            if listener.once:
                self.answer(client, listener, batch)
                return
            events, whole = None, False
            COUNTERS.gaps += batch.gaps
            context = listener.context
            self.under_way(client, batch.place)
            listener.stop_timer()
            self.passes(listener, client.cursor)
            outer, self._front.calling = self._front.calling, listener
            try:
                result = listener.call(*(batch.entries if listener.raw else batch.values()))
            except RAISED as error:
                if not self.failed(client, listener, error):
                    return
                continue
            finally:
                self._front.calling = outer
            if result is None and client.delivered.cursor != self._source.log.top:
                if peer is not None:
                    # A slow client must not get its whole backlog in one write.
                    result = peer._peer_drain()
                if time.perf_counter() - began > TURN:
                    result = _after_a_turn(result)
            if result is not None and self.wait_for(client, listener, context, result):
                return
            if not self.settle(client, listener):
                return

    def answer(self, client: Client, listener: Listener, batch: Batch) -> None:
        """Answer a long poll with `batch`."""
        listener.given = batch.times
        COUNTERS.gaps += batch.gaps
        context = listener.context
        self.under_way(client, batch.place)
        listener.stop_timer()
        if not listener.raw:
            # A user's callback may poll again in the same request.
            listener.note(batch.place.cursor)
        front = self._front
        outer, front.calling = front.calling, listener
        try:
            if not batch.entries and listener.peer is not None:
                listener.peer._peer_at(client.cursor)
            assert listener.call is not None
            result = listener.call(*(batch.entries if listener.raw else batch.values()))
        except RAISED as error:
            self.failed(client, listener, error)
            return
        finally:
            front.calling = outer
        if result is None or not self.wait_for(client, listener, context, result):
            self.settle(client, listener)

    def passes(self, listener: Listener, cursor: str) -> None:
        """Remember that the events after `cursor` are about to be sent, in case they
        do not arrive.
        """
        if listener.trail is not None:
            listener.trail.step(cursor, now(), self._source.recovery_time)

    def wait_for(
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
        if client is not None and self.settle(client, listener):
            self.deliver(client, None)

    def settle(self, client: Client, listener: Listener) -> bool:
        """A callback has finished with its events. Returns whether it may get more."""
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
            # Send the events that wait for the end of a burst now: later, they would arrive twice.
            listener.reading.catch_up()
            client.place = Place(listener.reading.cursor)
        elif listener.peer is not None:
            listener.peer._peer_drain()
            unsent = listener.peer._peer_unsent(self._source.key)
            if unsent:
                client.place = Place(unsent)

    def failed(self, client: Client, listener: Listener, error: BaseException) -> bool:
        """A callback raised `error`. A client with a peer is cut off and comes back. Code without a
        peer continues after the events that failed; in this case, this returns True.
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
        """Log the exception of a callback, and answer its request."""
        answered = isinstance(error, HTTPError) and peer is not None
        if not answered and not isinstance(error, ClientDisconnect):
            _log.error(
                "callback of client %s on channel %r raised",
                Pseudonym(client_id),
                self._source.key,
                exc_info=error,
            )
        if peer is not None:
            peer._peer_failed(error)

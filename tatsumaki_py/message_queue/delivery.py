"""How events reach those who listen.

Rules:
1. `_catch_up` calls everybody who listens before it returns. What is published meanwhile, by a
   callback, is delivered in the same pass, after: everybody sees the order of the log.
2. A callback that raises hurts nobody else, and is called outside of any change that is half made.
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
from tatsumaki_py.message_queue.callback import RAISED, failure, is_awaited
from tatsumaki_py.message_queue.client import DELIVERING, LISTENING, Client
from tatsumaki_py.message_queue.event import Entry, Event
from tatsumaki_py.message_queue.listener import PENDING, Listener
from tatsumaki_py.message_queue.places import Log, Places

__all__ = ["Delivery"]

MAX_ANSWER = 1024 * 1024
"""Bytes in the answer of one long poll, and in what code without a client gets at once, if it is
more than one event, as `Entry.work`.
"""
TURN = 0.01
"""Seconds after which a stream that reads on lets others have their turn."""

_log = logging.getLogger("tatsumaki")


async def _after_a_turn(drained: Awaitable[None] | None) -> None:
    if drained is not None:
        await drained
    await asyncio.sleep(0)


def _some(events: Sequence[Entry], limit: int) -> Sequence[Entry]:
    """The first of `events`, as many as cost no more than `limit` bytes; at least one, if there is
    one.
    """
    size = 0
    for count, event in enumerate(events):
        size += event.work
        if count and size > limit:
            return events[:count]
    return events


def _alike(events: Sequence[Entry]) -> Sequence[Entry]:
    """The first of `events`, as many as are all quiet, or all not."""
    return [*itertools.takewhile(lambda event: event.quiet == events[0].quiet, events)]


class _FastPath:
    """Which client is being told by the fast path, and where it was before."""

    __slots__ = ("client", "start")

    def __init__(self) -> None:
        self.client: Client | None = None
        self.start = ""


class Delivery(Places):
    """Hands the events of a log to who listens."""

    def __init__(self, channel: str | tuple[str, ...], log: Log) -> None:
        super().__init__(channel, log)
        self._delivering = False
        self._calling: Listener | None = None
        self._fast = _FastPath()

    def _reachable(self, client: Client) -> bool:
        """Whether `client` can be given something now."""
        return client.state is LISTENING and client is not self._fast.client

    def _flush(self) -> None:
        """Call everybody who listens with no events."""
        for client in (*self._waiting.values(), *self._streams.values()):
            if self._reachable(client):
                self._deliver(client, ())

    def _follow(self) -> None:
        """There is something new in the log."""
        if not self._delivering:
            self._catch_up()

    def _catch_up(self) -> None:
        """Bring everybody who listens to the top of the log."""
        self._delivering = True
        # The request that publishes is not the one that is answered.
        token = peers.current.set(None)
        try:
            while self._told != self._log.top:
                if self._streams or self._waiting:
                    events = _alike(self._log.since(self._told, True))
                    start, self._told = self._told, events[-1].id
                    if events[0].quiet:
                        self._pass_over(start)
                    else:
                        self._tell(start, events)
                else:
                    self._told = self._log.top
                for merged in tuple(self._merged.values()):
                    merged._follow()
        finally:
            peers.current.reset(token)
            self._delivering = False
            self._fast.client = None
            self._trim()

    def _pass_over(self, start: str) -> None:
        """Those that listen have what is for newcomers only: nothing."""
        for client in (*self._waiting.values(), *self._streams.values()):
            if client.state is LISTENING and client.cursor == start:
                client.cursor = self._told

    def _tell(self, start: str, events: Sequence[Entry]) -> None:
        """Give `events` to all that listen; all but newcomers have their cursor at `start`."""
        told = events[-1].id
        fast = self._fast
        fast.start = start
        # Made once for all that are code of users.
        dicts: list[Event] | None = None
        for client in tuple(self._waiting.values()):
            if client.state is LISTENING:
                self._deliver(client, events if client.cursor == start else None)
        for client in tuple(self._streams.values()):
            if client.state is not LISTENING:
                continue
            if client.cursor != start:
                fast.client = None
                self._deliver(client, None)
                continue
            # The fast path: a stream that keeps up.
            fast.client = client
            client.cursor = told
            listener = client.listener
            try:
                if client.raw:
                    result = client.callback(*events)  # type: ignore[misc]
                else:
                    if dicts is None:
                        dicts = [entry.event() for entry in events]
                    result = client.callback(*dicts)  # type: ignore[misc]
            except RAISED as error:
                self._tell_failed(client, listener, start, told, error)
                continue
            if result is not None:
                self._tell_slowly(client, listener, start, told, result)
        fast.client = None

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
        self._fast.client = None
        if client.listener is listener:
            self._unconfirm(client, start, told)
        if self._failed(client, listener, error):
            self._deliver(client, None)

    def _tell_slowly(
        self, client: Client, listener: Listener | None, start: str, told: str, result: Any
    ) -> None:
        """The fast path got something to wait for."""
        if result is not PENDING and not is_awaited(result):
            return
        assert listener is not None
        self._fast.client = None
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

    def _deliver(self, client: Client, events: Sequence[Entry] | None) -> None:
        """Give one client `events` (None: all after its cursor), then what was published
        meanwhile.
        """
        began = time.perf_counter()
        while True:
            if events is None:
                events = self._log.since(client.cursor, client.new)
                if not events:
                    self._ready(client)
                    return
            listener = client.listener
            assert listener is not None
            assert listener.call is not None
            peer = listener.peer
            room = MAX_ANSWER if listener.once or peer is None else peer._peer_room()
            events = _some(events, room)
            context = listener.context
            client.deliver(events[-1].id if events else client.cursor)
            self._park(client)
            listener.stop_timer()
            if listener.trail is not None:
                listener.trail.step(client.cursor, self._now(), self.recovery_time)
            if listener.once and not listener.keeps:
                listener.note(client.delivered)
            outer, self._calling = self._calling, listener
            try:
                if not events and listener.once and peer is not None:
                    peer._peer_at(client.cursor)
                given = events if listener.raw else [entry.event() for entry in events]
                result = listener.call(*given)
            except RAISED as error:
                if not self._failed(client, listener, error):
                    return
                events = None
                continue
            finally:
                self._calling = outer
            more = not listener.once and client.delivered != self._log.top
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
            listener.note(client.delivered)
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
            self._take_back(client, listener)
            self._leave(client, listener, expected=True)

    def _take_back(self, client: Client, listener: Listener) -> None:
        """What was written, but the kernel does not take, is still to come."""
        peer = listener.peer
        if peer is not None:
            # What waits for the end of a burst would be sent all the same, and come twice.
            peer._peer_drain()
            client.cursor = peer._peer_unsent(self.channel) or client.cursor

    def _go_back(self, client: Client, listener: Listener) -> None:
        """What was sent lately may not have arrived: it is still to come, by the client's name."""
        trail, log = listener.trail, self._log
        if trail is None:
            return
        place = log.later(self._lately(), trail.began)
        read = trail.place(self._now(), self.recovery_time)
        if read is not None:
            place = log.earlier(place, read)
        client.cursor = log.earlier(client.cursor, place)

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
            peer._peer_failed(error)

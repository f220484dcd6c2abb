"""How the clients of an audience leave, and when they are forgotten.

Rules:
1. A client without a name is forgotten when it leaves, because it cannot come back by name. The
   source counts as used as long as the client may come back with its cursor.
2. A client is no subscriber any more as soon as it leaves or, if it has no name, when its answer
   is complete; otherwise when it is forgotten. `on_unsubscribe` is called last, because it may do
   anything. If other processes have clients, it is called when they have said that the client is
   not there.
3. The place of a client that does not have every event is kept while the client is expected.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextvars import Context
from functools import partial
from typing import Any

from tatsumaki_py.message_queue.alarm import now
from tatsumaki_py.message_queue.callback import start
from tatsumaki_py.message_queue.client import LISTENING, Client, Listener
from tatsumaki_py.message_queue.names import Pseudonym
from tatsumaki_py.message_queue.roster import Roster
from tatsumaki_py.message_queue.source import Log, Source

__all__ = ["Departures"]

_log = logging.getLogger("tatsumaki")


class _Behind:
    """The oldest places of the clients without a name that left without every event, for two
    windows of time: a place is kept for one window at least, and for two at most.
    """

    __slots__ = ("_before", "_place", "_since")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Keep no place."""
        self._place: str | None = None
        self._before: str | None = None
        self._since = float("-inf")

    def add(self, place: str | None, now: float, window: float, log: Log) -> None:
        """A client left at `place`; None if it had every event."""
        age = now - self._since
        if age >= window:
            self._before = self._place if age < 2 * window else None
            self._place, self._since = None, now
        if place is not None:
            self._place = place if self._place is None else log.earlier(self._place, place)

    def places(self) -> Iterator[str]:
        """The places that are kept."""
        for place in (self._before, self._place):
            if place is not None:
                yield place


class Departures:
    """Lets the clients of one source go."""

    def __init__(self, roster: Roster, source: Source) -> None:
        self._roster = roster
        self._source = source
        self._nameless_behind = _Behind()

    def leave(
        self,
        client: Client,
        listener: Listener,
        error: Exception | None = None,
        *,
        expected: bool = False,
    ) -> None:
        """`client` is away from now on. With `expected`, the server ended its poll. If the client
        has every event of a log that has ended, it is not expected back.
        """
        log = self._source.log
        if expected and log.ended and client.cursor == log.top:
            expected = False
        if _log.isEnabledFor(logging.DEBUG):
            what = "was answered" if expected else "left"
            _log.debug("client %s of channel %r %s", Pseudonym(client.id), self._source.key, what)
        if client.cursor:
            listener.note(client.cursor)
        self.away(client)
        listener.end(error)
        expected_until = client.deadline if client.named else self._roster.nameless_until
        if expected_until is not None:
            self._source.watch_until(expected_until)
        if not (expected and client.named):
            self.unsubscribe(client)

    def away(self, client: Client) -> None:
        """`client` does not listen any more."""
        known = bool(client.cursor)
        behind = known and client.cursor != self._source.log.top
        if behind:
            self._source.hold(client.cursor)
        if client.named:
            self._roster.leave(client, now(), self._source.reconnect_time, behind)
            if known:
                self._source.leave(client.cursor, client.id)
        else:
            self._keep_nameless(client.cursor if behind else None)
            self._remove(client)
        if self._roster.vacant():
            self._source.vacated()

    def _keep_nameless(self, behind: str | None) -> None:
        if self._roster.nameless_until is None:
            self._source.expects_nameless(True)
        self._roster.nameless_until = now() + self._source.reconnect_time
        self._nameless_behind.add(behind, now(), self._source.reconnect_time, self._source.log)

    def forget(self, client: Client) -> None:
        """`client` is not expected any more."""
        listener = client.listener
        self._remove(client)
        if listener is not None:
            listener.end()
        self.unsubscribe(client)

    def hand_over(self, client: Client) -> None:
        """`client` is in another process now, and still a subscriber there."""
        self._roster.subscribed.pop(client.id, None)
        self._remove(client)
        if self._roster.vacant():
            self._source.vacated()

    def _remove(self, client: Client) -> None:
        self._roster.remove(client)
        self._source.removed()
        self._look_around()

    def _look_around(self) -> None:
        if not self._roster.occupied():
            self._nameless_behind.clear()
            self._source.deserted()

    def clear(self) -> None:
        """Forget all clients."""
        for client in list(self._roster.clients.values()):
            self.forget(client)
        self._forget_nameless()

    def _forget_nameless(self) -> None:
        if self._roster.nameless_until is not None:
            self._roster.nameless_until = None
            self._source.expects_nameless(False)
            self._nameless_behind.clear()
            self._look_around()

    def places(self) -> Iterator[str]:
        """The cursors after which clients that are behind still need events."""
        yield from self._nameless_behind.places()
        for client in self._roster.behind.values():
            listener = client.listener
            unsent = None
            if client.state is LISTENING and listener is not None and listener.peer is not None:
                unsent = listener.peer._peer_unsent(self._source.key)
            if unsent or client.cursor:
                yield unsent or client.cursor

    # -- subscribers

    def subscribe(self, client: Client, on_unsubscribe: Callable[[], Any] | None) -> bool:
        """Make `client` a subscriber. Returns whether it was none before."""
        subscribed = self._roster.subscribed
        new = client.id not in subscribed
        if new or on_unsubscribe is not None:
            subscribed[client.id] = on_unsubscribe
        return new

    def present_again(self, client_id: str) -> None:
        """Another process has called the hook of a client that is still here."""
        again = getattr(self._roster.subscribed.get(client_id), "again", None)
        if again is not None:
            again()

    def unsubscribe(self, client: Client) -> None:
        """`client` is gone: it is no subscriber any more."""
        subscribed = self._roster.subscribed
        if client.id not in subscribed:
            return
        tell = subscribed.pop(client.id)
        gone = self._source.gone(client.id) if client.named else None
        if gone is None:
            self._tell(client.id, tell)
        elif tell is not None:
            # It must not keep the request alive in its context.
            gone.add_done_callback(partial(self._gone, client.id, tell), context=Context())

    def _gone(self, client_id: str, tell: Callable[[], Any], gone: asyncio.Future[bool]) -> None:
        if not gone.cancelled() and gone.result():
            self._tell(client_id, tell)

    def _tell(self, client_id: str, tell: Callable[[], Any] | None) -> None:
        if tell is not None:
            # In a context of its own, outside of the request that is being handled.
            context = Context()
            start(partial(context.run, tell), context, partial(self._untold, client_id))

    def _untold(self, client_id: str, error: BaseException) -> None:
        _log.error(
            "on_unsubscribe of client %s on channel %r raised",
            Pseudonym(client_id),
            self._source.key,
            exc_info=error,
        )

    # -- time

    def forget_late(self, time: float) -> None:
        """Forget the clients that did not come back until `time`."""
        for client in self._roster.late(time):
            name = Pseudonym(client.id)
            _log.debug("client %s of channel %r did not come back", name, self._source.key)
            self.forget(client)
        until = self._roster.nameless_until
        if until is not None and until <= time:
            self._forget_nameless()

"""How the clients of an audience leave, and when they are removed.

Rules:
1. An anonymous client is removed when it leaves, because it cannot come back by name. The source
   counts as in use while the client may come back with its cursor.
2. A client that leaves stops being a subscriber immediately. If the server ends the client's poll,
   an anonymous client stops being a subscriber immediately, and a named client when it is removed.
   `on_unsubscribe` is called last, because it may do anything. If other processes have clients, it
   is called when they have confirmed that they do not have the client.
3. The place of a client that does not have every event is kept while the client is expected back.
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
    """The oldest places of anonymous clients that left before they had all events, for two windows
    of time: a place is kept for at least one window and at most two.
    """

    __slots__ = ("_before", "_place", "_since")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Drop the places."""
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
        """The kept places."""
        for place in (self._before, self._place):
            if place is not None:
                yield place


class Departures:
    """Handles the departures of one source's clients."""

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
        """`client` has stopped listening."""
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
        """`client` is no longer expected back."""
        listener = client.listener
        self._remove(client)
        if listener is not None:
            listener.end()
        self.unsubscribe(client)

    def hand_over(self, client: Client) -> None:
        """`client` is now in another process, and still a subscriber there."""
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
        """Remove all clients."""
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
        """The cursors after which clients that lag behind still need events."""
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
        """Make `client` a subscriber. Returns whether it was not one before."""
        subscribed = self._roster.subscribed
        new = client.id not in subscribed
        if new or on_unsubscribe is not None:
            subscribed[client.id] = on_unsubscribe
        return new

    def present_again(self, client_id: str) -> None:
        """Another process has called the hook of a client that is still connected here."""
        again = getattr(self._roster.subscribed.get(client_id), "again", None)
        if again is not None:
            again()

    def unsubscribe(self, client: Client) -> None:
        """`client` has gone and is no longer a subscriber."""
        subscribed = self._roster.subscribed
        if client.id not in subscribed:
            return
        tell = subscribed.pop(client.id)
        gone = self._source.gone(client.id) if client.named else None
        if gone is None:
            self._tell(client.id, tell)
        elif tell is not None:
            # The context of the done callback must not keep the request alive.
            gone.add_done_callback(partial(self._gone, client.id, tell), context=Context())

    def _gone(self, client_id: str, tell: Callable[[], Any], gone: asyncio.Future[bool]) -> None:
        if not gone.cancelled() and gone.result():
            self._tell(client_id, tell)

    def _tell(self, client_id: str, tell: Callable[[], Any] | None) -> None:
        if tell is not None:
            # In a separate context, outside of the current request.
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
        """Remove the clients that did not come back by `time`."""
        for client in self._roster.late(time):
            name = Pseudonym(client.id)
            _log.debug("client %s of channel %r did not come back", name, self._source.key)
            self.forget(client)
        until = self._roster.nameless_until
        if until is not None and until <= time:
            self._forget_nameless()

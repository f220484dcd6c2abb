"""Calls the callbacks of all listeners when there are new events.

Rules:
1. `follow` calls all listeners before it returns. Events that a callback publishes meanwhile are
   delivered later in the same pass, so all listeners see the order of the log.
2. An exception in a callback does not affect other clients.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from tatsumaki_py.message_queue import peer as peers
from tatsumaki_py.message_queue.batch import Batch
from tatsumaki_py.message_queue.callback import RAISED, is_awaited
from tatsumaki_py.message_queue.client import LISTENING, Client, Listener, Place
from tatsumaki_py.message_queue.delivery import Delivery
from tatsumaki_py.message_queue.ending import Ending
from tatsumaki_py.message_queue.event import Entry, Event
from tatsumaki_py.message_queue.front import Front
from tatsumaki_py.message_queue.mailbox import PENDING
from tatsumaki_py.message_queue.roster import Roster
from tatsumaki_py.message_queue.source import Source

__all__ = ["Telling"]


def _alike(events: Sequence[Entry]) -> Sequence[Entry]:
    """The first of `events`, up to the first change between quiet and not quiet."""
    return [*itertools.takewhile(lambda event: event.quiet == events[0].quiet, events)]


class Telling:
    """Calls all listeners of one source."""

    def __init__(
        self, roster: Roster, source: Source, delivery: Delivery, front: Front, ending: Ending
    ) -> None:
        self._roster = roster
        self._source = source
        self._delivery = delivery
        self._front = front
        self._ending = ending

    def flush(self) -> None:
        """Call all listeners with no events."""
        for client in tuple(self._roster.listening()):
            if self._delivery.reachable(client):
                self._delivery.deliver(client, ())

    def follow(self) -> bool:
        """Bring all listeners to the top of the log; see rule 1. Returns True if an outer pass will
        do this instead.
        """
        if self._front.telling:
            return True
        roster, log = self._roster, self._source.log
        if not roster.streams and not roster.waiting:
            return False
        # Callbacks must not belong to the publishing request.
        token = peers.current.set(None)
        try:
            while self._front.told.cursor != log.top:
                start = self._front.start = self._front.told
                events = _alike(log.since(start.cursor, start.lead, quiet=True))
                lead = start.lead
                if lead is not None or events[0].gap or any(event.gap for event in events[1:]):
                    lead = log.lead_after(lead, events)
                self._front.told = Place(events[-1].id, lead)
                if events[0].quiet:
                    self._pass_over(start)
                else:
                    self._tell(start, events)
        finally:
            peers.current.reset(token)
            self._front.start = self._front.told
            self._front.told_now = None
        if log.ended:
            self._ending.look()
        return False

    def lowest(self) -> str | None:
        """During a pass, the cursor of the clients whose callbacks have not been called yet."""
        return self._front.start.cursor if self._front.telling else None

    def _pass_over(self, start: Place) -> None:
        """Move the listeners past quiet events, which only new clients get."""
        for client in self._roster.listening():
            if client.place is start:
                client.place = self._front.told

    def _tell(self, start: Place, events: Sequence[Entry]) -> None:
        """Deliver `events` to all listeners; all but new clients are at `start`."""
        front, told = self._front, self._front.told
        # Made once for all users' callbacks.
        values: list[Event] | None = None
        batch: Batch | None = None
        for client in tuple(self._roster.waiting.values()):
            if client.state is not LISTENING:
                continue
            if client.place is not start or client.listener is None:
                self._delivery.deliver(client, None)
                continue
            if batch is None:
                batch = Batch(events, start, self._source.log)
            self._delivery.answer(client, client.listener, batch)
        for client in tuple(self._roster.streams.values()):
            if client.state is not LISTENING:
                continue
            if client.place is not start:
                self._delivery.deliver(client, None)
                continue
            # The fast path: a stream that keeps up.
            listener = client.listener
            front.told_now = listener
            try:
                if listener.raw:  # type: ignore[union-attr]
                    result = listener.call(*events)  # type: ignore[union-attr, misc]
                else:
                    if values is None:
                        values = [entry.event() for entry in events]
                    result = listener.call(*values)  # type: ignore[union-attr, misc]
            except RAISED as error:
                self._told_in_vain(client, listener, told, error)
                continue
            if client.listener is listener:
                if result is None:
                    client.place = told
                else:
                    self._told_slowly(client, listener, told, result)
        self._front.told_now = None

    def _told_in_vain(
        self, client: Client, listener: Listener | None, told: Place, error: BaseException
    ) -> None:
        """A callback on the fast path raised `error`."""
        assert listener is not None
        self._front.told_now = None
        if client.listener is listener:
            self._delivery.under_way(client, told)
        if self._delivery.failed(client, listener, error):
            self._delivery.deliver(client, None)

    def _told_slowly(
        self, client: Client, listener: Listener | None, told: Place, result: Any
    ) -> None:
        """A callback on the fast path returned a result that may have to be awaited."""
        assert listener is not None
        if result is not PENDING and not is_awaited(result):
            client.place = told
            return
        self._front.told_now = None
        self._delivery.under_way(client, told)
        delivery = self._delivery
        waits = delivery.wait_for(client, listener, listener.context, result)
        if not waits and delivery.settle(client, listener):
            delivery.deliver(client, None)

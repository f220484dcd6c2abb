"""Ends the polls of the clients that have every event of a log that has ended.

Rules:
1. A poll is ended only if its client has every event, including the end. If an event is published
   after the end, the remaining polls continue.
2. Polls are ended in turns of `TURN` seconds, so that many of them do not block the event loop.
3. A client whose poll was ended is no longer a subscriber, and is not expected back.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextvars import Context

from tatsumaki_py.message_queue.client import LISTENING, Client
from tatsumaki_py.message_queue.departures import Departures
from tatsumaki_py.message_queue.mailbox import Mailbox
from tatsumaki_py.message_queue.roster import Roster
from tatsumaki_py.message_queue.source import Source

__all__ = ["Ending"]

TURN = 0.002


class Ending:
    """Ends the streams of one source. A long poll ends by itself: with the end in its answer."""

    __slots__ = ("_again", "_departures", "_left", "_roster", "_source")

    def __init__(self, roster: Roster, source: Source, departures: Departures) -> None:
        self._roster = roster
        self._source = source
        self._departures = departures
        # The clients that are still to be checked; None if no turn is due.
        self._left: deque[Client] | None = None
        self._again = False

    def look(self) -> None:
        """The log has ended: soon end the polls of the clients that have every event."""
        if self._left is None:
            self._left = deque()
            self._later()
        self._again = True

    def _later(self) -> None:
        # In a separate context, because the current one may belong to a request.
        asyncio.get_running_loop().call_soon(self._turn, context=Context())

    def _turn(self) -> None:
        left = self._left
        assert left is not None
        if self._again:
            self._again = False
            left.extend((*self._roster.streams.values(), *self._roster.reading.values()))
        stop = time.monotonic() + TURN
        try:
            while left and self._source.log.ended:
                self._look_at(left.popleft())
                if time.monotonic() >= stop:
                    break
        finally:
            if left and self._source.log.ended:
                self._later()
            else:
                self._left = None
                if self._again:
                    self.look()

    def _look_at(self, client: Client) -> None:
        listener = client.listener
        if listener is None or listener.once or client.state is not LISTENING:
            return
        busy = listener.reading is not None and listener.reading.busy()
        if busy or client.cursor != self._source.log.top:
            return
        peer = listener.peer
        self._departures.leave(client, listener)
        if peer is not None and not isinstance(listener, Mailbox):
            peer._peer_ended()

"""Ends the polls of the clients that have every event of a log that has ended.

Rules:
1. A poll is ended only if its client has every event, including the end. If an event is published
   after the end, the remaining polls continue.
2. Polls are ended in turns of `TURN` seconds, so that many of them do not block the event loop.
3. A client whose poll was ended is no longer a subscriber, and is not expected back.
4. If the loop of the next turn is closed before that turn, the next call of `look` plans a turn in
   the running loop.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextvars import Context

from tatsumaki_py.message_queue.client import LISTENING, Client, Listener
from tatsumaki_py.message_queue.departures import Departures
from tatsumaki_py.message_queue.mailbox import Mailbox
from tatsumaki_py.message_queue.roster import Roster
from tatsumaki_py.message_queue.source import Source

__all__ = ["Ending"]

TURN = 0.002


class Ending:
    """Ends the streams of one source. (A long poll ends with the answer that contains the end.)"""

    __slots__ = ("_again", "_departures", "_left", "_loop", "_roster", "_source")

    def __init__(self, roster: Roster, source: Source, departures: Departures) -> None:
        self._roster = roster
        self._source = source
        self._departures = departures
        # The clients that are still to be checked.
        self._left: deque[Client] = deque()
        # The loop of the next turn; None if no turn is planned.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._again = False

    def look(self) -> None:
        """The log has ended: soon end the polls of the clients that have every event."""
        loop = asyncio._get_running_loop()
        # Without a loop, no connection can be closed.
        if loop is not None:
            self._again = True
            if self._loop is not loop:
                self._later(loop)

    def _later(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        # In a separate context, because the current one may belong to a request.
        loop.call_soon(self._turn, loop, context=Context())

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        left = self._left
        if self._again and not left:
            self._again = False
            left.extend((*self._roster.streams.values(), *self._roster.reading.values()))
        stop = time.monotonic() + TURN
        try:
            while left and self._source.log.ended:
                self._look_at(left.popleft())
                if time.monotonic() >= stop:
                    break
        finally:
            if not self._source.log.ended:
                left.clear()
                self._again = False
            self._loop = None
            if left or self._again:
                self._later(loop)

    def _look_at(self, client: Client) -> None:
        listener = client.listener
        if listener is None or listener.once or client.state is not LISTENING:
            return
        # A listener with a timer is about to get the end again; see `Arrivals`.
        if listener.timer is not None:
            return
        peer = listener.peer
        if client.cursor != self._source.log.top or self._busy(listener):
            return
        self._departures.leave(client, listener)
        if peer is not None and not isinstance(listener, Mailbox):
            peer._peer_ended()

    def _busy(self, listener: Listener) -> bool:
        """Whether some events of the client still have to be sent to the kernel."""
        if listener.reading is not None:
            return listener.reading.busy()
        if listener.peer is None:
            return False
        listener.peer._peer_drain()
        return listener.peer._peer_unsent(self._source.key) is not None

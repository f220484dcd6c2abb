"""How one poll of a client takes over from another, and how a poll ends with no events.

Rules:
1. A poll begins at the place that the previous poll is known to have reached. Events that the
   kernel did not take are sent again. If the old connection may be lost, recently sent events are
   also sent again.
2. A callback that polls again for its own client has received its events.
3. If another poll takes over from a long poll, the long poll is answered with no events and with
   the client's cursor. If another poll takes over from a stream, the stream is finished.
"""

from __future__ import annotations

from contextvars import Context
from functools import partial

from tatsumaki_py.error import ClientDisconnect
from tatsumaki_py.message_queue import peer as peers
from tatsumaki_py.message_queue.alarm import now
from tatsumaki_py.message_queue.callback import start
from tatsumaki_py.message_queue.client import LISTENING, LOADING, Client, Listener, Place
from tatsumaki_py.message_queue.delivery import Delivery
from tatsumaki_py.message_queue.departures import Departures
from tatsumaki_py.message_queue.mailbox import Mailbox
from tatsumaki_py.message_queue.source import Source

__all__ = ["Takeover"]


class Takeover:
    """Ends polls of the clients of one source in favor of others."""

    def __init__(self, source: Source, departures: Departures, delivery: Delivery) -> None:
        self._source = source
        self._departures = departures
        self._delivery = delivery

    def inherit(self, client: Client, superseded: Listener, heir: peers.Peer | None) -> None:
        """Move `client` to the place at which the poll of `heir`, which takes over from
        `superseded`, begins.
        """
        peer = superseded.peer
        if not (self._delivery.serves(superseded) or (peer is not None and peer is heir)):
            self._delivery.take_back(client, superseded)
            if peer is not None and peer._peer_in_doubt():
                # The client has come back before the loss of its old connection was noticed.
                self.go_back(client, superseded)
        elif superseded.reading is not None:
            self._delivery.take_back(client, superseded)
        elif superseded.has_all():
            self._delivery.finish(client, superseded)

    def supersede(
        self,
        client: Client,
        listener: Listener,
        was_waiting: bool,
        cursor: str,
        heir: peers.Peer | None,
    ) -> None:
        """Another poll of the same client has taken over from `listener`, which was at `cursor`:
        end the poll of `listener` with no events.
        """
        peer = listener.peer
        if listener.once and was_waiting:
            # While a client is LOADING, its place may be unknown.
            if peer is not None and cursor:
                peer._peer_at(cursor)
            self._answer_empty(client.id, listener, peer)
            return
        listener.end()
        streams = not listener.once and not isinstance(listener, Mailbox)
        if streams and peer is not None and peer is not heir:
            peer._peer_finish()

    def hand_over(self, client: Client) -> str:
        """The client polls in another process: end its poll here, and remove it. Returns the place
        that it has reached.
        """
        listener, left_at = client.listener, client.cursor
        was_waiting = client.state in (LISTENING, LOADING)
        if listener is not None:
            self.inherit(client, listener, None)
        place = client.cursor
        self._departures.hand_over(client)
        if listener is not None:
            self.supersede(client, listener, was_waiting, left_at, None)
        return place

    def dismiss(self, client_id: str, listener: Listener, peer: peers.Peer) -> None:
        """End the poll of a HEAD request, or of a client that has already left."""
        if peer._peer_left():
            listener.end(ClientDisconnect())
        elif listener.once:
            listener.begin()
            self._answer_empty(client_id, listener, peer)
        else:
            listener.end()

    def _answer_empty(self, client_id: str, listener: Listener, peer: peers.Peer | None) -> None:
        """End a long poll, and call its callback with no events."""
        call, context = listener.call, listener.context
        listener.end()
        if call is not None and not isinstance(listener, Mailbox):
            failed = partial(self._delivery.report, client_id, peer=peer)
            start(call, Context() if context is None else context, failed)

    def go_back(self, client: Client, listener: Listener) -> None:
        """Move a named `client` back before recently sent events, which may not have arrived."""
        trail, log = listener.trail, self._source.log
        if trail is None:
            return
        place = log.later(self._source.lately(), trail.began)
        read = trail.place(now(), self._source.recovery_time)
        if read is not None:
            place = log.earlier(place, read)
        client.place = Place(log.earlier(client.cursor, place))

    def end_empty(self, client: Client, listener: Listener) -> None:
        """End the poll of a client that is expected back. A long poll is answered
        with no events.
        """
        waiting = client.state in (LISTENING, LOADING)
        if self._delivery.serves(listener):
            # A callback that disconnects all clients has received its events.
            self._delivery.finish(client, listener)
        self._delivery.take_back(client, listener)
        self._departures.away(client)
        self.supersede(client, listener, waiting, client.cursor, None)
        if not client.named:
            self._departures.unsubscribe(client)

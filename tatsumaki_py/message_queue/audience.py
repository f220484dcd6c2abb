"""The clients that listen to a source.

Rules:
1. The parts of an audience: arrivals of clients (`arrivals`), takeover of a poll by another
   (`takeover`), delivery of events (`telling`, `delivery`), departures (`departures`), and the list
   of clients (`roster`).
2. The source and the listeners refer to an audience only while it has clients.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator

from tatsumaki_py.message_queue import peer as peers
from tatsumaki_py.message_queue.arrivals import Arrivals
from tatsumaki_py.message_queue.client import LISTENING, LOADING, Listener, Place
from tatsumaki_py.message_queue.delivery import Delivery
from tatsumaki_py.message_queue.departures import Departures
from tatsumaki_py.message_queue.ending import Ending
from tatsumaki_py.message_queue.front import Front
from tatsumaki_py.message_queue.log import EventLog
from tatsumaki_py.message_queue.roster import Roster
from tatsumaki_py.message_queue.source import Log, Source
from tatsumaki_py.message_queue.takeover import Takeover
from tatsumaki_py.message_queue.telling import Telling
from tatsumaki_py.message_queue.thread import LoopThread

__all__ = ["Audience"]


class Audience:
    """The clients of one source."""

    def __init__(self, source: Source, thread: LoopThread) -> None:
        self._source = source
        self._thread = thread
        self.roster = Roster()
        self._departures = Departures(self.roster, source)
        front = Front(Place(source.log.top))
        self._ending = Ending(self.roster, source, self._departures)
        self._delivery = Delivery(self.roster, source, self._departures, front, self._ending)
        self._telling = Telling(self.roster, source, self._delivery, front, self._ending)
        self._takeover = Takeover(source, self._departures, self._delivery)
        self.arrivals = Arrivals(
            self.roster, source, self._departures, self._delivery, self._takeover
        )
        self.readers: dict[Hashable, peers.Reader] = {}
        """See `Readable.readers`."""

    # -- the log, for streams that read it themselves; see `Readable`

    @property
    def key(self) -> str | tuple[str, ...]:
        """See `Source.key`."""
        return self._source.key

    @property
    def log(self) -> Log:
        """See `Source.log`."""
        return self._source.log

    def read(self) -> None:
        """See `Readable.read`."""
        self._ending.look()

    def has_all(self, cursor: str | None, client_id: str | None) -> bool:
        """Whether no event is left for a client; for a new client, an end does not count as an
        event. False if this process cannot tell.
        """
        log = self._source.log
        if not self._source.loaded:
            # Other processes may have published events that are not in this log.
            return False
        if not cursor and client_id is not None:
            cursor = self.place(client_id)
            if not cursor:
                # Another process may know the client.
                return False
        if cursor:
            return log.normalized(cursor) == log.top
        return all(entry.end for entry in log.since(*self._source.newcomer()))

    # -- for the source; see `Follower`

    def follow(self) -> bool:
        """See `Follower.follow`."""
        for reader in self.readers.values():
            reader.follow()
        return self._telling.follow() or bool(self.readers or self.roster.behind)

    def loaded(self) -> None:
        """See `Follower.loaded`."""
        self.arrivals.loaded()

    def flush(self) -> None:
        """Call all listeners with no events."""
        self._telling.flush()
        for client in tuple(self.roster.behind.values()):
            listener = client.listener
            if client.state is LOADING and listener is not None and listener.once:
                self._takeover.end_empty(client, listener)

    @property
    def behind(self) -> int:
        """See `Follower.behind`."""
        return len(self.roster.behind) + sum(reader.behind for reader in self.readers.values())

    def lowest(self, channel: str) -> str | None:
        """See `Follower.lowest`."""
        log = self._source.log
        told = self._telling.lowest()
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
        """Remove all clients."""
        self._departures.clear()

    def due(self) -> float | None:
        """The time at which the next client is due to be removed."""
        return self.roster.due()

    def forget_late(self, time: float) -> None:
        """Remove the clients that did not come back by `time`."""
        self._departures.forget_late(time)

    @property
    def subscribers(self) -> int:
        """How many clients are connected or expected back."""
        return len(self.roster.subscribed)

    # -- departures

    def disconnect(self) -> bool:
        """End all polls; returns whether there was one. See `MessageQueue.disconnect`."""
        return sum(1 for _ in self.end_polls()) > 0

    @property
    def long_polls(self) -> int:
        """See `Follower.long_polls`."""
        listeners = [client.listener for client in self.roster.clients.values()]
        return sum(1 for listener in listeners if listener is not None and listener.once)

    def end_polls(
        self, *, long_polls: bool = False, retry: Callable[[], int] | None = None
    ) -> Iterator[None]:
        """See `Follower.end_polls`."""
        for client in list(self.roster.clients.values()):
            listener = client.listener
            if listener is not None and (listener.once or not long_polls):
                if retry is not None and listener.once and listener.peer is not None:
                    listener.peer._peer_retry(retry())
                self._takeover.end_empty(client, listener)
                yield
        self._source.watch()

    def take(self, client_id: str) -> str:
        """See `Clients.take`."""
        client = self.roster.clients.get(client_id)
        return "" if client is None else self._takeover.hand_over(client)

    def place(self, client_id: str) -> str:
        """See `Clients.place`."""
        client = self.roster.clients.get(client_id)
        return "" if client is None else client.cursor

    def present_again(self, client_id: str) -> None:
        """See `Clients.present_again`."""
        self._departures.present_again(client_id)

    def disconnect_client(self, client_id: str) -> bool:
        """End the poll of one client. Returns whether it was listening."""
        client = self.roster.clients.get(client_id)
        if client is None or client.listener is None:
            return False
        self._takeover.end_empty(client, client.listener)
        self._source.watch()
        return True

    def give(self, client_id: str, bodies: list[bytes]) -> bool:
        """Send events to one client only; see `MessageQueue.flush_events`."""
        client = self.roster.clients.get(client_id)
        return client is not None and self._delivery.give(client, bodies)

    def left(self, listener: Listener, error: Exception | None = None, lost: bool = False) -> None:
        """See `ListenedTo.left`."""
        client = listener.client
        if client is None or client.listener is not listener:
            listener.end(error)
            return
        if error is None and self._delivery.serves(listener):
            # A callback that ends its own poll has received its events.
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
        """The stream of `listener`, which lags behind, is about to read the events
        after `cursor`.
        """
        self._delivery.passes(listener, cursor)

    def blocked(self, listener: Listener, blocked: bool) -> None:
        """A stream has stopped or resumed keeping up: keep the events that are not sent yet."""
        client = listener.client
        if client is None or client.state is not LISTENING or listener.reading is not None:
            return
        if not blocked:
            self.roster.behind.pop(client.id, None)
            if self._source.log.ended:
                self._ending.look()
        elif listener.peer is not None:
            self.roster.behind[client.id] = client
            self._source.hold(listener.peer._peer_unsent(self.key) or client.cursor)

    def timed_out(self, listener: Listener) -> None:
        """The timeout of `listener` has passed without an event."""
        client = listener.client
        if client is None or client.listener is not listener:
            return
        if client.state is LISTENING:
            self._delivery.deliver(client, ())
        elif client.state is LOADING:
            self._takeover.end_empty(client, listener)
            self._source.watch()

    # -- the loop's thread; see `ListenedTo`

    def check_thread(self, method: str, of: str) -> None:
        """Raise `RuntimeError` outside of the event loop's thread."""
        self._thread.check(method, of)

    def in_thread(self, call: Callable[[], None]) -> None:
        """Make `call` in the thread of the event loop."""
        self._thread.run(call)

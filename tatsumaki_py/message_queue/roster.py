"""The clients of an audience, by state.

Rules:
1. `waiting` (long polls), `streams` (with a callback) and `reading` (streams that read the log
   themselves) hold exactly the LISTENING clients. `absent` holds exactly the ABSENT clients,
   earliest deadline first.
2. `behind` holds the clients that may still need events before the newest one: LOADING and
   DELIVERING clients, streams whose connection is blocked, and clients that left before they had
   all events.
3. A client is subscribed from its first poll until it has gone. `subscribed` has these clients,
   each with the function to call once when it has gone.
4. This file uses no clock, loop or log: callers pass times and places.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tatsumaki_py.message_queue.client import ABSENT, Client

__all__ = ["Roster"]


class Roster:
    """The clients of one queue, by id.

    >>> from tatsumaki_py.message_queue.client import Place
    >>> roster = Roster()
    >>> alice = roster.add(Client("alice", Place("1-0")))
    >>> roster.leave(alice, now=0.0, reconnect_time=30.0, behind=False)
    >>> next(roster.late(29.0), None), next(roster.late(30.0)).id
    (None, 'alice')
    """

    __slots__ = (
        "absent",
        "behind",
        "clients",
        "nameless_until",
        "reading",
        "streams",
        "subscribed",
        "waiting",
    )

    def __init__(self) -> None:
        self.clients: dict[str, Client] = {}
        self.streams: dict[str, Client] = {}
        self.waiting: dict[str, Client] = {}
        self.reading: dict[str, Client] = {}
        self.absent: dict[str, Client] = {}
        self.behind: dict[str, Client] = {}
        self.subscribed: dict[str, Callable[[], Any] | None] = {}
        self.nameless_until: float | None = None
        """The time until which the last anonymous client may come back."""

    def occupied(self) -> bool:
        """Whether a client is connected or expected back."""
        return bool(self.clients) or self.nameless_until is not None

    def vacant(self) -> bool:
        """Whether clients are expected back and none is connected."""
        return self.occupied() and len(self.absent) == len(self.clients)

    def listening(self) -> Iterator[Client]:
        """The clients whose callbacks wait for events, long polls first."""
        yield from tuple(self.waiting.values())
        yield from tuple(self.streams.values())

    def add(self, client: Client) -> Client:
        """Add `client`."""
        self.clients[client.id] = client
        return client

    def ready(self, client: Client) -> None:
        """`client` is LISTENING and has every event."""
        assert client.listener is not None
        if client.listener.reading is not None:
            self.reading[client.id] = client
        elif client.listener.once:
            self.waiting[client.id] = client
        else:
            self.streams[client.id] = client
        self.behind.pop(client.id, None)

    def busy(self, client: Client) -> None:
        """`client` is connected but does not wait for an event: it is LOADING or DELIVERING."""
        self._park(client)
        self.behind[client.id] = client

    def returned(self, client: Client) -> None:
        """`client` polls, perhaps again."""
        if client.state is ABSENT:
            self.absent.pop(client.id, None)
        else:
            self._park(client)

    def leave(self, client: Client, now: float, reconnect_time: float, behind: bool) -> None:
        """`client` has left and is expected back. With `behind`, it does not have all events."""
        self._park(client)
        client.leave(now, reconnect_time)
        self.absent[client.id] = client
        if behind:
            self.behind[client.id] = client
        else:
            self.behind.pop(client.id, None)

    def remove(self, client: Client) -> None:
        """Remove `client`."""
        self._park(client)
        client.forget()
        self.absent.pop(client.id, None)
        self.behind.pop(client.id, None)
        del self.clients[client.id]

    def _park(self, client: Client) -> None:
        self.waiting.pop(client.id, None)
        self.streams.pop(client.id, None)
        self.reading.pop(client.id, None)

    def late(self, now: float) -> Iterator[Client]:
        """The clients that did not come back in time. Each must be removed before the next."""
        while self.absent:
            client = next(iter(self.absent.values()))
            if not client.is_late(now):
                return
            yield client

    def due(self) -> float | None:
        """The time at which the next client, or the last anonymous one, is due to be removed."""
        due = [next(iter(self.absent.values())).deadline] if self.absent else []
        if self.nameless_until is not None:
            due.append(self.nameless_until)
        return min(due, default=None)

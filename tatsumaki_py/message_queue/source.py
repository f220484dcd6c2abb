"""The protocols between an audience and the channel, or the channels, that it listens to.

Rule: a source knows a `Follower` and never an audience; an audience knows a `Source`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Protocol

from tatsumaki_py.message_queue.event import Entry
from tatsumaki_py.message_queue.lead import LeadIn

__all__ = ["Follower", "Log", "Source"]


class Follower(Protocol):
    """An audience, as its source sees it."""

    def follow(self) -> bool:
        """There are new events: call the callbacks of all listeners before returning. Returns
        whether some clients need the events later, because they lag behind, their streams read the
        log themselves, or an outer pass calls them.
        """

    def loaded(self) -> None:
        """The log of a channel is loaded. New clients begin in it."""

    def flush(self) -> None:
        """Call all listeners with no events."""

    def take(self, client_id: str) -> str:
        """See `Clients.take`."""

    def place(self, client_id: str) -> str:
        """See `Clients.place`."""

    def present_again(self, client_id: str) -> None:
        """See `Clients.present_again`."""

    def disconnect_client(self, client_id: str) -> bool:
        """End the poll of one client. Returns whether it was listening."""

    def end_polls(
        self, *, long_polls: bool = False, retry: Callable[[], int] | None = None
    ) -> Iterator[None]:
        """End all polls, or all long polls, one at a time. If `retry` is given, the client of a
        long poll is asked to reconnect after `retry()` seconds.
        """

    @property
    def long_polls(self) -> int:
        """The number of waiting long polls."""

    def disconnect(self) -> bool:
        """End all polls. Returns whether there was one."""

    def clear(self) -> None:
        """Remove all clients."""

    @property
    def behind(self) -> int:
        """Roughly how many clients lag behind."""

    def lowest(self, channel: str) -> str | None:
        """The oldest cursor in `channel` after which a client still needs events; None if there is
        no such client.
        """

    def due(self) -> float | None:
        """The time at which the next client is due to be removed."""

    def forget_late(self, time: float) -> None:
        """Remove the clients that did not come back by `time`."""

    @property
    def subscribers(self) -> int:
        """How many clients are connected or expected back."""


class Log(Protocol):
    """A log, as an audience sees it; see `log` and `merged_log`."""

    @property
    def top(self) -> str:
        """The newest cursor."""

    @property
    def ended(self) -> bool:
        """Whether the newest event is the end; with several channels, whether this is true of each
        of them.
        """

    def again(self) -> tuple[Entry, ...]:
        """The end of a log that has ended, for a client that already has it."""

    def normalized(self, cursor: str) -> str:
        """`cursor`, or `NOWHERE` if it does not have the form of one."""

    def known(self, cursor: str) -> str:
        """`cursor`, or `NOWHERE` if it is not a place in the log."""

    def part(self, cursor: str, channel: str) -> str:
        """The part of `cursor` that is a place in `channel`."""

    def earlier(self, one: str, other: str) -> str:
        """The earlier of two cursors."""

    def later(self, one: str, other: str) -> str:
        """The later of two cursors."""

    def since(
        self, cursor: str, lead: LeadIn | None = None, quiet: bool = False
    ) -> tuple[Entry, ...]:
        """The events after `cursor`, with a gap where some are lost; only the first ones if there
        are many. Those of `lead` come first. Other quiet events are left out, unless `quiet`.
        """

    def lead_after(self, lead: LeadIn | None, events: Sequence[Entry]) -> LeadIn | None:
        """The part of `lead` that is left after `events`, of which one may be a gap."""


class Source(Protocol):
    """One channel or several, as an audience sees them."""

    @property
    def key(self) -> str | tuple[str, ...]:
        """The name of the source: `Entry.log` of its events."""

    @property
    def log(self) -> Log:
        """The events."""

    @property
    def reconnect_time(self) -> float:
        """Seconds for which an absent client is expected back."""

    @property
    def recovery_time(self) -> float:
        """Seconds after which an event that was sent counts as received."""

    def lately(self) -> str:
        """A cursor before all events that were published in the last `recovery_time` seconds."""

    @property
    def loaded(self) -> bool:
        """Whether the log is loaded and fed."""

    async def ready(self) -> None:
        """Wait until the log is loaded. Raises the error if it cannot be loaded at the moment."""

    def hold(self, cursor: str) -> None:
        """A client lags behind, at `cursor`: keep the events after it."""

    def watch(self) -> None:
        """Set a timer to remove the clients that do not come back."""

    def watch_here(self) -> None:
        """Like `watch`, if the running loop has no such timer: the timer of a closed loop would not
        fire.
        """

    def watch_until(self, deadline: float) -> None:
        """Like `watch`, for a client that is expected back until `deadline`."""

    @property
    def width(self) -> int:
        """How many channels a client reads."""

    def admit(self, follower: Follower) -> None:
        """`follower` is about to get a client; from now on, its `follow` is called for new events.
        Raises 503 if there is no room for one more client.
        """

    def newcomer(self) -> tuple[str, LeadIn | None]:
        """The cursor and the lead-in of a new client, which gets the backlog."""

    def locate(self, name: str | None, cursor: str | None) -> Awaitable[str | None] | None:
        """Find the place at which a client resumes, and load the events after it.

        Args:
            name: the name of a client that does not listen here and gives no cursor: it may come
                from another process. None for any other client.
            cursor: the client's cursor, if one is known here.

        Returns:
            None if this process already knows the place and the events, otherwise an awaitable of
            the cursor, which gives None for a new client.
        """

    def arrive(self, name: str, hook: str) -> asyncio.Future[bool] | None:
        """The client `name`, which was not listening here, polls. The future tells whether the
        client is new; see `Presence.arrive`. None if only this process has clients.
        """

    def gone(self, name: str) -> asyncio.Future[bool] | None:
        """The client `name` is no longer a subscriber here. The future tells whether no other
        process has the client either. None if only this process has clients, or if no event loop
        runs.
        """

    def leave(self, place: str, name: str) -> None:
        """The client `name` has left at `place`, and may come back in another process."""

    def expects_nameless(self, expects: bool) -> None:
        """Called with True when anonymous clients may come back, with False when they no longer
        may.
        """

    def occupied(self) -> None:
        """A client is connected."""

    def vacated(self) -> None:
        """All clients are absent."""

    def added(self) -> None:
        """One more client is known."""

    def removed(self) -> None:
        """One client fewer is known."""

    def deserted(self) -> None:
        """No client is connected or expected back."""

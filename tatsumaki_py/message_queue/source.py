"""What an audience needs to know of the channel, or the channels, that it listens to.

Rule: a source knows a `Follower` and never an audience; an audience knows a `Source`.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

from tatsumaki_py.message_queue.event import Entry

__all__ = ["Follower", "Log", "Source"]


class Follower(Protocol):
    """Clients that listen to a source, as the source sees them."""

    def follow(self) -> bool:
        """There are new events: tell everybody who listens before this returns. Returns whether
        some clients need them later: because they are behind, their streams read the log by
        themselves, or an outer pass calls them.
        """

    def loaded(self) -> None:
        """The log of a channel is loaded. Clients that are new begin in it."""

    def flush(self) -> None:
        """Tell everybody who listens that there are no events."""

    def disconnect(self) -> None:
        """End all polls."""

    def clear(self) -> None:
        """Forget all clients."""

    @property
    def behind(self) -> int:
        """How many clients are behind, about."""

    def lowest(self, channel: str) -> str | None:
        """The oldest cursor in `channel` after which events are still needed, if there is one."""

    def due(self) -> float | None:
        """When there is somebody to forget."""

    def forget_late(self, time: float) -> None:
        """Forget the clients that did not come back until `time`."""

    @property
    def subscribers(self) -> int:
        """How many clients are not known to be gone."""


class Log(Protocol):
    """What a queue needs to know of its log; see `log` and `merged_log`."""

    @property
    def top(self) -> str:
        """The newest cursor."""

    def normalized(self, cursor: str) -> str:
        """`cursor`, or one in no life if it cannot be one."""

    def known(self, cursor: str) -> str:
        """`cursor`, or one in no life if what follows it is not here."""

    def part(self, cursor: str, channel: str) -> str:
        """The part of `cursor` that is a place in `channel`."""

    def earlier(self, one: str, other: str) -> str:
        """The one of two cursors after which more comes."""

    def later(self, one: str, other: str) -> str:
        """The one of two cursors after which less comes."""

    def since(self, cursor: str, quiet: bool = False) -> tuple[Entry, ...]:
        """The events after `cursor`, a gap where some are lost; if there are many, the first.
        Without those that only newcomers get, unless `quiet`.
        """


class Source(Protocol):
    """What clients listen to: a channel, or several."""

    @property
    def key(self) -> str | tuple[str, ...]:
        """Its name: `Entry.log` of its events."""

    @property
    def log(self) -> Log:
        """Its events."""

    @property
    def reconnect_time(self) -> float:
        """Seconds for which a client that is away is expected back."""

    @property
    def recovery_time(self) -> float:
        """Seconds for which what was sent may turn out not to have arrived."""

    def lately(self) -> str:
        """A cursor before all that was published in the last `recovery_time` seconds."""

    @property
    def loaded(self) -> bool:
        """Whether the log is here, and is fed."""

    async def ready(self) -> None:
        """Wait until the log is loaded. Raises why it cannot be, for now."""

    def hold(self, cursor: str) -> None:
        """A client is behind, at `cursor`: keep what follows."""

    def watch(self) -> None:
        """See to it that clients that do not come back are forgotten."""

    @property
    def width(self) -> int:
        """How many channels a client reads."""

    def admit(self, follower: Follower) -> None:
        """`follower` is about to get a client, and is told of new events from now on. Raises 503
        if there is no room for one more.
        """

    def first_cursor(self) -> str:
        """The place of a client that is new: it gets the backlog."""

    def locate(self, name: str | None, cursor: str | None) -> Awaitable[str | None] | None:
        """Find the place at which a client goes on, and load what follows it.

        Args:
            name: of a client that does not listen here and gives no cursor: it may have been
                elsewhere.
            cursor: where the client is, as far as is known here.

        Returns:
            None if all that can be known is here, else an awaitable of the cursor; it gives None
            for a client that is new.
        """

    def leave(self, place: str, name: str) -> None:
        """The client `name` is away, at `place`: it may come back elsewhere."""

    def expects_nameless(self, expects: bool) -> None:
        """Clients without a name may come back, or may not any more."""

    def occupied(self) -> None:
        """A client is here."""

    def vacated(self) -> None:
        """All clients are away."""

    def added(self) -> None:
        """One more client is known."""

    def removed(self) -> None:
        """One client less is known."""

    def deserted(self) -> None:
        """Nobody is here or expected any more."""

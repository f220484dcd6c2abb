"""The other end of the request being handled: how a queue learns that a client has left.

Rule: a queue knows a `Peer` and never a handler; a handler knows a `Watcher` and never a queue.

A handler announces itself in `current` when it is made, so that whatever runs on behalf of its
request, callbacks and coroutines alike, finds it without being handed it.
"""

from __future__ import annotations

import weakref
from collections.abc import Awaitable, Callable, Hashable
from contextvars import ContextVar
from typing import Any, Protocol

__all__ = ["Peer", "Watcher", "current", "of"]


class Watcher(Protocol):
    """Something that serves a peer."""

    def left(self, lost: bool) -> None:
        """The client went before its answer was complete.

        Args:
            lost: its connection was reset, timed out or was cut off, so the client may not have
                received all that the kernel took. False: the client closed the connection.
        """

    def busy(self) -> bool:
        """Whether it is in the middle of giving something to the client."""

    def cursor(self) -> str:
        """Where the client is in what it is given; "" if events are on their way."""

    def blocked(self, blocked: bool) -> None:
        """The client does not keep up with what is sent, or does so again."""

    def served(self) -> None:
        """The answer is complete."""


class Peer(Protocol):
    """The client of one request, as a queue sees it."""

    def peer_cursor(self) -> str | None:
        """The id of the last event that the client had before this request, as it says."""

    def peer_place(self, log: Hashable, name: str | None) -> str | None:
        """The id of the last event of `log` that the client `name` was given in this request, if
        it was given some, or was told that there are none.
        """

    def peer_given(self, log: Hashable, name: str | None, cursor: str) -> None:
        """`peer_place` is `cursor` from now on."""

    def peer_at(self, cursor: str) -> None:
        """The client has all up to `cursor`: told when a stream begins, and before a long poll is
        answered with no events.
        """

    def peer_watch(self, watcher: Watcher) -> bool:
        """Tell `watcher` how this ends. False if there is nobody to serve (any more)."""

    def peer_unwatch(self, watcher: Watcher) -> None:
        """`watcher` is done with this peer."""

    def peer_left(self) -> bool:
        """Whether the client went before its answer was complete."""

    def peer_over(self) -> bool:
        """Whether its answer is complete."""

    def peer_failed(self, error: BaseException) -> None:
        """A callback on behalf of this peer raised: answer it."""

    def peer_finish(self) -> None:
        """Nothing more will come for this peer: end its answer."""

    def peer_room(self) -> int:
        """Bytes that may well be written at once."""

    def peer_drain(self) -> Awaitable[None]:
        """Done when most of what was written is on its way."""

    def peer_in_doubt(self) -> bool:
        """Whether the client may not have all that was sent: its connection is lost, or it has not
        acknowledged all.
        """

    def peer_unsent(self, log: Hashable) -> str | None:
        """The id before the first event of `log` that was written but not handed to the kernel,
        if any.
        """


current: ContextVar[weakref.ref[Any] | None] = ContextVar("tatsumaki_peer", default=None)


def of(callback: Callable[..., Any] | None) -> Peer | None:
    """The peer that `callback` serves: the object it is a method of, else that of the current
    request.
    """
    owner = getattr(callback, "__self__", None)
    # Not isinstance: that looks for each method of the protocol, for each long poll.
    if hasattr(owner, "peer_watch"):
        return owner
    reference = current.get()
    peer = None if reference is None else reference()
    # A task may outlive the request that it was started in.
    return None if peer is None or peer.peer_over() else peer

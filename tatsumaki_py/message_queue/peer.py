"""The protocols between a queue and the other end of a request: its client, and its stream.

Rule: a queue knows a `Peer` and never a handler; a handler knows a `Watcher` and never a queue.

A handler sets `current` to itself when it is made, so callbacks and coroutines that run on behalf
of its request find it there.
"""

from __future__ import annotations

import weakref
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar

from tatsumaki_py.message_queue.event import Entry

__all__ = [
    "Peer",
    "Readable",
    "ReadableLog",
    "Reader",
    "Reading",
    "Watcher",
    "current",
    "of",
    "takes_entries",
]

_Method = TypeVar("_Method", bound=Callable[..., Any])


def takes_entries(method: _Method) -> _Method:
    """Mark a method of the package that takes entries of the log instead of events."""
    method.takes_entries = True  # type: ignore[attr-defined]
    return method


class Reader(Protocol):
    """Streams that read a log by themselves and are served together."""

    def follow(self) -> None:
        """The log has something new. Called for each publish, so it costs next to nothing."""

    @property
    def behind(self) -> int:
        """About how many places `places` has."""

    def places(self) -> Iterable[str]:
        """The cursors of the streams that still have something to send."""


class ReadableLog(Protocol):
    """A log, as the streams see it that read it by themselves."""

    @property
    def top(self) -> str:
        """The newest cursor."""

    @property
    def ended(self) -> bool:
        """Whether the newest event is the end."""

    def since(self, cursor: str, quiet: bool = False) -> tuple[Entry, ...]:
        """The events after `cursor`, with a gap where some are lost. A long list may be cut off:
        read on from the id of its last event. Quiet events are left out unless `quiet`.
        """


class Readable(Protocol):
    """A log that streams read by themselves, and those that do so."""

    readers: dict[Hashable, Reader]
    """The readers that are told of new events, by a key of their own. A reader adds itself with its
    first stream and removes itself with its last one.
    """

    @property
    def log(self) -> ReadableLog:
        """The log."""

    def read(self) -> None:
        """Some streams may have every event of a log that has ended."""


class Reading(Protocol):
    """One stream that reads a log by itself."""

    @property
    def cursor(self) -> str:
        """The place after the last event that was handed to the kernel whole."""

    def busy(self) -> bool:
        """Whether it has something to send, or does not keep up."""

    def catch_up(self) -> None:
        """Send now the events that were published, if the client keeps up."""

    def stop(self) -> None:
        """Read no more. `cursor` stays what it is."""


class Watcher(Protocol):
    """A listener, as a peer sees it."""

    @property
    def once(self) -> bool:
        """Whether it takes events once: a long poll."""

    @property
    def given(self) -> Sequence[float]:
        """When the events were published that a long poll is answered with (`Entry.time`)."""

    def left(self, lost: bool) -> None:
        """The client went before its answer was complete.

        Args:
            lost: its connection was reset, timed out or was cut off, so the client may not have
                received all that the kernel took. False: the client closed the connection.
        """

    def busy(self) -> bool:
        """Whether events are on their way to the client."""

    def cursor(self) -> str:
        """The cursor of the client; "" if events are on their way."""

    def blocked(self, blocked: bool) -> None:
        """The client does not keep up with what is sent, or does so again."""

    def reads(self, cursor: str) -> None:
        """Its stream, which is late, is about to read the events after `cursor`."""

    def served(self) -> None:
        """The answer is complete."""


class Peer(Protocol):
    """The client of one request, as a queue sees it."""

    def _peer_cursor(self) -> str | None:
        """The cursor that the client sent with this request."""

    def _peer_retry(self, seconds: int) -> None:
        """The long poll is about to be answered with no events: send when to reconnect."""

    def _peer_place(self, log: Hashable, name: str | None) -> str | None:
        """The id of the last event of `log` that the client `name` was given in this request, if
        it was given some or an earlier poll had none for it.
        """

    def _peer_given(self, log: Hashable, name: str | None, cursor: str) -> None:
        """`_peer_place` is `cursor` from now on."""

    def _peer_at(self, cursor: str) -> None:
        """Tell the client that it has all events up to `cursor`. Called when a stream begins, and
        before a long poll is answered with no events.
        """

    def _peer_watch(self, watcher: Watcher) -> bool:
        """Tell `watcher` how this request ends. False if it has ended, or takes no body (HEAD)."""

    def _peer_unwatch(self, watcher: Watcher) -> None:
        """Tell `watcher` nothing any more."""

    def _peer_left(self) -> bool:
        """Whether the client went before its answer was complete."""

    def _peer_over(self) -> bool:
        """Whether its answer is complete."""

    def _peer_failed(self, error: BaseException) -> None:
        """A callback on behalf of this peer raised: answer it."""

    def _peer_finish(self) -> None:
        """End the answer: no more events will come for this peer."""

    def _peer_ended(self) -> None:
        """A log that this peer listened to has ended: end the answer, unless it listens to others,
        too.
        """

    def _peer_room(self) -> int:
        """The bytes that should be written at once at most."""

    def _peer_drain(self) -> Awaitable[None]:
        """An awaitable that is done when most of the written bytes were sent."""

    def _peer_in_doubt(self) -> bool:
        """Whether the client may not have received all sent bytes: its connection is lost, or it
        has not acknowledged all of them.
        """

    def _peer_unsent(self, log: Hashable) -> str | None:
        """The id before the first event of `log` that was written but not handed to the kernel,
        if any.
        """

    def _peer_reads(self, callback: Callable[..., Any]) -> bool:
        """Whether `callback` sends events as they are, so that the stream can do without it and
        read the log by itself.
        """

    def _peer_read(self, readable: Readable, cursor: str, quiet: bool) -> Reading:
        """Send the events after `cursor`, from now on. With `quiet`, the quiet events that are in
        the log now are for this client, too.
        """


current: ContextVar[weakref.ref[Any] | None] = ContextVar("tatsumaki_peer", default=None)


def of(callback: Callable[..., Any] | None) -> Peer | None:
    """The peer that `callback` serves: the object it is a method of, else that of the current
    request.
    """
    owner = getattr(callback, "__self__", None)
    # Not isinstance: that looks for each method of the protocol, for each long poll.
    if hasattr(owner, "_peer_watch"):
        return owner
    reference = current.get()
    peer = None if reference is None else reference()
    # A task may outlive the request that it was started in.
    return None if peer is None or peer._peer_over() else peer

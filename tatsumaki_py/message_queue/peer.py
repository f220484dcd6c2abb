"""The protocols between a queue and the other end of a request: its client, and its stream.

Rule: a queue knows a `Peer` and never a handler; a handler knows a `Watcher` and never a queue.

A handler sets `current` to itself when it is made, so that callbacks and coroutines of its request
find it there.
"""

from __future__ import annotations

import weakref
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar

from tatsumaki_py.message_queue.event import Entry
from tatsumaki_py.message_queue.lead import LeadIn

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
    """Mark a method of the package that takes log entries instead of events."""
    method.takes_entries = True  # type: ignore[attr-defined]
    return method


class Reader(Protocol):
    """Streams that read a log themselves and are served together."""

    def follow(self) -> None:
        """The log has new events. Called for each publish, so this must be cheap."""

    @property
    def behind(self) -> int:
        """The approximate number of `places`."""

    def places(self) -> Iterable[str]:
        """The cursors of the streams that still have events to send."""


class ReadableLog(Protocol):
    """A log, as seen by the streams that read it themselves."""

    @property
    def top(self) -> str:
        """The newest cursor."""

    @property
    def ended(self) -> bool:
        """Whether the newest event is the end."""

    def since(self, cursor: str, lead: LeadIn | None = None) -> tuple[Entry, ...]:
        """The events after `cursor`, with a gap where some are lost. A long list may be cut off:
        continue from the id of its last event, with `lead_after`. Without quiet events, except
        those of `lead`.
        """

    def lead_after(self, lead: LeadIn | None, events: Sequence[Entry]) -> LeadIn | None:
        """The part of `lead` that is left after `events`, of which one may be a gap."""


class Readable(Protocol):
    """A log that streams read themselves, and these streams."""

    readers: dict[Hashable, Reader]
    """The readers to notify of new events, by their own keys. A reader adds itself with its first
    stream and removes itself with its last one.
    """

    @property
    def log(self) -> ReadableLog:
        """The log."""

    def read(self) -> None:
        """Some streams may now have every event of a log that has ended: end these streams."""


class Reading(Protocol):
    """One stream that reads a log itself."""

    @property
    def cursor(self) -> str:
        """The place after the last event that was handed completely to the kernel."""

    def busy(self) -> bool:
        """Whether the stream has events to send, or does not keep up."""

    def catch_up(self) -> None:
        """Send the published events now, if the client keeps up."""

    def stop(self) -> None:
        """Stop reading. `cursor` does not change any more."""


class Watcher(Protocol):
    """A listener, as a peer sees it."""

    @property
    def once(self) -> bool:
        """Whether the listener takes events only once, as a long poll does."""

    @property
    def given(self) -> Sequence[float]:
        """When the events in the answer to a long poll were published (`Entry.time`)."""

    def left(self, lost: bool) -> None:
        """The client left before its answer was complete.

        Args:
            lost: its connection was reset, timed out or was cut off, so the client may not have
                received all bytes that the kernel took. False: the client closed the connection.
        """

    def busy(self) -> bool:
        """Whether events are on their way to the client."""

    def cursor(self) -> str:
        """The cursor of the client; "" if events are on their way."""

    def blocked(self, blocked: bool) -> None:
        """The client has stopped or resumed keeping up."""

    def reads(self, cursor: str) -> None:
        """The client's stream, which lags behind, is about to read the events after `cursor`."""

    def served(self) -> None:
        """The answer is complete."""


class Peer(Protocol):
    """The client of one request, as a queue sees it."""

    def _peer_cursor(self) -> str | None:
        """The cursor that the client sent with this request."""

    def _peer_retry(self, seconds: int) -> None:
        """The long poll is about to be answered with no events: tell the client when
        to reconnect.
        """

    def _peer_place(self, log: Hashable, name: str | None) -> str | None:
        """The cursor in `log` up to which an earlier poll of this request has served the client
        `name`; None if there was no such poll.
        """

    def _peer_given(self, log: Hashable, name: str | None, cursor: str) -> None:
        """Remember `cursor` for `_peer_place`."""

    def _peer_at(self, cursor: str) -> None:
        """Send the client its `cursor`. Called when a stream begins, and before a long poll is
        answered with no events.
        """

    def _peer_watch(self, watcher: Watcher) -> bool:
        """Notify `watcher` when and how this request ends. Returns False if the request has already
        ended, or if its answer has no body (HEAD).
        """

    def _peer_unwatch(self, watcher: Watcher) -> None:
        """Stop notifying `watcher`."""

    def _peer_left(self) -> bool:
        """Whether the client left before its answer was complete."""

    def _peer_over(self) -> bool:
        """Whether the answer is complete."""

    def _peer_failed(self, error: BaseException) -> None:
        """A callback of this peer raised: answer the request with the error."""

    def _peer_finish(self) -> None:
        """End the answer, because no more events will come for this peer."""

    def _peer_ended(self) -> None:
        """A log that this peer listened to has ended: end the answer, unless the peer still listens
        to other logs.
        """

    def _peer_room(self) -> int:
        """The maximum number of bytes to write at once."""

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
        """Whether `callback` sends events unchanged, so that the stream can read the log itself
        instead.
        """

    def _peer_read(self, readable: Readable, cursor: str, lead: LeadIn | None) -> Reading:
        """From now on, send the events after `cursor`; those of `lead` come first."""


current: ContextVar[weakref.ref[Any] | None] = ContextVar("tatsumaki_peer", default=None)


def of(callback: Callable[..., Any] | None) -> Peer | None:
    """The peer that `callback` serves: the object whose method it is, or the current request."""
    owner = getattr(callback, "__self__", None)
    # Not isinstance, which would look for each method of the protocol for each long poll.
    if hasattr(owner, "_peer_watch"):
        return owner
    reference = current.get()
    peer = None if reference is None else reference()
    # A task may outlive the request that started it.
    return None if peer is None or peer._peer_over() else peer

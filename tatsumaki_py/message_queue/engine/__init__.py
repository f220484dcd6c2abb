"""Engines: they accept events, keep those that must outlive this process, and feed channels.

Rules:
1. A channel in this process is a log in memory. The engine decides the order of events: the events
   that it passes to `Feed.accept` follow the log's `top`.
2. If a method returns None instead of an awaitable, there is nothing to wait for. The
   in-memory engine makes no caller wait: its work is done before the method of the queue returns.
3. A channel asks `Engine.history` for events that are not in its log. A client that arrives gets a
   gap only after the answer. A connected client gets a gap if `Feed.load` replaces the log with
   one that does not contain its place.
4. `open`, `detach`, `forget` and `remember` do not raise. They may be called without a running
   loop.

The test suite for all engines is in ``t/engine``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Protocol

from tatsumaki_py.message_queue.engine.presence import Clients, Presence
from tatsumaki_py.message_queue.event import Entry
from tatsumaki_py.message_queue.settings import ChannelSettings

__all__ = ["Clients", "Engine", "EngineError", "Feed", "Presence"]


class EngineError(RuntimeError):
    """The engine cannot be used as configured. The text is one line, without a password."""


class Feed(Protocol):
    """A channel, as an engine sees it."""

    beside: int
    """Bytes that the engine keeps in this process for the channel, in addition to its log."""

    @property
    def name(self) -> str:
        """The name of the channel."""

    @property
    def settings(self) -> ChannelSettings:
        """How long events and idempotency keys are kept, and how many."""

    @property
    def top(self) -> str:
        """The id of the newest event of the log, or the place where an empty log begins."""

    @property
    def floor(self) -> str:
        """The place where the log begins: the id before its oldest event."""

    @property
    def behind(self) -> str:
        """The place of the client in this process that is furthest behind, or an earlier place;
        `top` if every client has all events.
        """

    def reserve(self) -> None:
        """Make room for events that will be kept in this process. Raises 503 if that fails."""

    def load(self, top: str, events: Sequence[Entry], kept: Sequence[Entry] = ()) -> None:
        """Replace the log with `events`, each of which follows the one before; `top` is the id of
        the last one. `kept` has older events, oldest first: the last event of each key. From now
        on, the channel is loaded. Clients whose place is not in the new log get a gap. If the
        engine still has the events after the old `Feed.top`, the new log must begin there or
        earlier. Raises `ValueError` if the events do not follow each other.
        """

    def fail(self, error: Exception) -> None:
        """The log cannot be loaded at the moment. Polls that wait for the log end with `error`: a
        long poll is answered with the status of `error` if it is an `Error.HTTP`; a stream is
        closed. The engine retries.
        """

    def unload(self) -> None:
        """The engine has stopped feeding the log. If a client listens, `Engine.attach` is called
        immediately; otherwise the events are dropped.
        """

    def accept(self, events: Sequence[Entry]) -> None:
        """Append events, oldest first, and deliver them to all listeners before returning. Raises
        `ValueError` if the first event does not follow `top`; call `load` in that case.
        """


class Engine(Protocol):
    """Accepts and keeps the events of all channels."""

    @property
    def presence(self) -> Presence | None:
        """Tells in which process each client is; None if only this process has clients."""

    def publish(
        self,
        feed: Feed,
        bodies: Sequence[bytes],
        *,
        key: str | None = None,
        idempotency_key: str | None = None,
        quiet: bool = False,
    ) -> Awaitable[list[str]]:
        """Accept events, whether or not the result is awaited.

        Args:
            feed: the channel. It need not be attached.
            bodies: the events as JSON, oldest first. All or none are accepted, without other events
                in between.
            key: what the events are about (`Event.key`). The last event of each key is kept for new
                clients, and `Feed.load` receives it even if it is older than the log.
            idempotency_key: if the same events were recently accepted under this key, they are not
                accepted again; raises 422 if different events were.
            quiet: whether only new clients get the events.

        Returns:
            An awaitable of the ids of the events. It may be done before or after `Feed.accept` is
            called with the events.
        """

    def open(self, feed: Feed) -> None:
        """The channel is used for the first time in this process. An engine that has all events of
        the channel in this process calls `Feed.load` now.
        """

    def attach(self, feed: Feed) -> None:
        """A client listens to the channel, or code waits until it is loaded: load the channel if
        necessary, and pass on published events. If this raises an exception, the waiting polls
        end with it.
        """

    def detach(self, feed: Feed) -> None:
        """No client listens to the channel any more. The engine may feed the log for a while before
        it calls `Feed.unload`; `attach` may be called again in between.
        """

    def forget(self, feed: Feed) -> None:
        """The channel was emptied, and no code in this process uses it. An engine that has events
        elsewhere calls `Feed.unload`, and stops feeding the channel.
        """

    def history(self, feed: Feed, cursor: str, limit: int) -> Awaitable[list[Entry] | None] | None:
        """The events after `cursor`, which is not in the log, up to `Feed.floor`, where the log
        begins. The awaitable gives None if some of them are lost, or if there are more than
        `limit`. Returning None instead of an awaitable means the same.

        A `cursor` after `Feed.top` belongs to an event that has not reached this process yet: the
        engine passes on the missing events (`Feed.accept`) before it answers.
        """

    def recall(self, channels: tuple[str, ...], client_id: str) -> Awaitable[str | None] | None:
        """The last place of a named client, in any process. Called whenever a named client that
        does not listen in this process arrives.

        Args:
            channels: the channels that the client listens to together, sorted by name.
            client_id: its name.

        Returns:
            An awaitable of the cursor with which `remember` was last called, even a moment ago in
            this process, unless the seconds of that call have passed. If `Presence.arrive` has
            ended the client's poll in another process, the place that this poll reached has
            priority. The awaitable gives None if there is no such cursor. Returning None instead of
            an awaitable means that this process itself knows the latest place.
        """

    def remember(
        self, channels: tuple[str, ...], client_id: str, cursor: str, seconds: float
    ) -> None:
        """A named client has left at `cursor`, which has one place for each of `channels`, joined
        by commas. The client is expected back within `seconds`, perhaps in another process.
        """

    async def close(self) -> None:
        """Close connections and files, and end the tasks and timers in the event loop. A later call
        of another method, perhaps in another loop, opens them again.
        """

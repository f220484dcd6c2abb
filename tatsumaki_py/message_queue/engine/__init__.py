"""What an engine is: it accepts events, keeps what has to outlive this process, and feeds channels.

Rules:
1. A channel here is a log in memory. The engine decides the order of events: what it passes to
   `Feed.accept` follows the log's `top`.
2. A method that answers None has nothing to wait for. The engine in memory always does so: then
   everything happens before the method of the queue returns.
3. "Not in the log" is a question to `Engine.history`; only its answer makes a gap.

A test suite that any engine can be run against is in ``t/engine``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Protocol

from tatsumaki_py.message_queue.event import Entry
from tatsumaki_py.message_queue.settings import ChannelSettings

__all__ = ["Engine", "Feed"]


class Feed(Protocol):
    """A channel, as an engine sees it."""

    beside: int
    """Bytes that the engine holds in this process for the channel, beside its log."""

    @property
    def name(self) -> str:
        """The name of the channel."""

    @property
    def settings(self) -> ChannelSettings:
        """How long events and idempotency keys are kept, and how many."""

    @property
    def top(self) -> str:
        """The id of the newest event of the log, or the place where it begins."""

    def reserve(self) -> None:
        """Make room for events that will be kept here. Raises 503 if there is none."""

    def load(self, top: str, events: Sequence[Entry]) -> None:
        """Replace the log by `events`, which end at `top`. From now on the channel is loaded.
        Clients whose place is not in the new log get a gap.
        """

    def unload(self) -> None:
        """The log is not fed any more: ask for it again with `Engine.attach`."""

    def accept(self, events: Sequence[Entry]) -> None:
        """Append events, oldest first, and call everybody who listens before this returns. Raises
        `ValueError` if the first one does not follow `top`: `load` is for that.
        """


class Engine(Protocol):
    """Where events are accepted and kept."""

    def publish(
        self, feed: Feed, bodies: Sequence[bytes], *, key: str | None = None, quiet: bool = False
    ) -> Awaitable[list[str]]:
        """Accept events.

        Args:
            feed: the channel.
            bodies: the events as JSON, oldest first; all or none are accepted.
            key: their idempotency key. If they were accepted under it lately, they are not accepted
                again; 422 if other events were.
            quiet: whether only newcomers get them.

        Returns:
            An awaitable of their ids.
        """

    def open(self, feed: Feed) -> None:
        """The channel is used for the first time in this process. An engine that knows here all
        there is calls `Feed.load` now.
        """

    def attach(self, feed: Feed) -> None:
        """Somebody listens to a channel that is not loaded: load it, and pass on what is
        published.
        """

    def detach(self, feed: Feed) -> None:
        """Nobody listens to it any more. The engine may go on for a while."""

    def forget(self, feed: Feed) -> None:
        """The channel is empty, and nobody uses it in this process."""

    def history(self, feed: Feed, cursor: str, limit: int) -> Awaitable[list[Entry] | None] | None:
        """The events that follow `cursor`, which is not in the log, up to where the log begins, and
        `limit` of them at most. The awaitable gives None if some of them are lost; None without an
        awaitable says the same at once.
        """

    def recall(self, name: str, client_id: str) -> Awaitable[str | None] | None:
        """The cursor of a client with a name that is not known in this process. The awaitable gives
        None for a client that is new; None without an awaitable says the same at once.
        """

    def remember(self, name: str, client_id: str, cursor: str, seconds: float) -> None:
        """A client has left at `cursor` and is expected back for `seconds`, perhaps elsewhere."""

    async def close(self) -> None:
        """Let go of connections and files. The engine is not used after that."""

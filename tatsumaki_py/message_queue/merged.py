"""MergedQueue: several channels on one connection, with one cursor.

Rules:
1. It follows its channels, and they know it, exactly while somebody is here or expected:
   they stay in use then.
2. What is published in one channel reaches its listeners before `publish` returns.
3. `_held` is pinned in the logs while it follows: what its listeners have not been told, or what
   was not sent yet, is kept, whoever trims.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tatsumaki_py.message_queue.channel import Channel
from tatsumaki_py.message_queue.merged_log import MergedLog

if TYPE_CHECKING:
    from tatsumaki_py.message_queue import MessageQueue

__all__ = ["MAX_MERGED", "MergedQueue"]

MAX_MERGED = 200
"""Channels of one `MergedQueue`. Its cursors have about 30 characters for each channel, and have to
fit in a header.
"""


class MergedQueue(Channel):
    """The queue of several channels, to listen to. Get it with ``MessageQueue.instance("a", "b")``.

    It is polled as a `MessageQueue` is. Its events say their `Event.channel`; their `Event.id` is a
    cursor in all the channels. What is kept is the business of each channel: a loss in one of them
    is told by a gap of that channel, and the others lose nothing. A client that is new gets the
    backlog of each.
    """

    channel: tuple[str, ...]
    """The names of the channels, sorted."""

    def __init__(self, queues: Sequence[MessageQueue]) -> None:
        log = MergedLog([queue._log for queue in queues])
        super().__init__(log.channels, log)
        self._queues = tuple(queues)
        self._held: str | None = None

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_") and name != "channel":
            # It would be nobody's, and gone with this object.
            raise AttributeError(f"set {name} on each channel: MessageQueue.instance(name).{name}")
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.channel!r}: {len(self._clients)} clients>"

    @property
    def reconnect_time(self) -> float:
        """Seconds for which a client that is away is expected back: the longest of any of the
        channels.
        """
        return max(queue.reconnect_time for queue in self._queues)

    @property
    def recovery_time(self) -> float:
        """Seconds for which every event is kept: the longest of any of the channels."""
        return max(queue.recovery_time for queue in self._queues)

    def _lately(self) -> str:
        return ",".join([queue._lately() for queue in self._queues])

    def _admit(self) -> str:
        self._registry.admit(self, self._queues[0].max_clients)
        if not self._occupied():
            self._join()
        return ",".join([queue._first_cursor() for queue in self._queues])

    def _join(self) -> None:
        for queue in self._queues:
            queue._join(self)
        self._told = self._log.top
        self._keep_after(self._told)

    def _width(self) -> int:
        return len(self._queues)

    def _holds_nothing(self) -> bool:
        return all(queue._holds_nothing() for queue in self._queues)

    def _desert(self) -> None:
        self._registry.vacant.pop(self.channel, None)
        self._disarm()
        self._keep_after(None)
        for queue in self._queues:
            queue._part(self)

    def _keep_after(self, cursor: str | None) -> str | None:
        """Keep what comes after `cursor`; returns what was kept before."""
        held, self._held = self._held, cursor
        if cursor != held:
            if cursor is not None:
                self._log.pin(cursor)
            if held is not None:
                self._log.unpin(held)
        return held

    def _trim(self) -> None:
        if not self._occupied():
            return
        unsent = self._unsent()
        cursor = unsent or self._told
        held = self._keep_after(cursor) or cursor
        parts = zip(self._queues, held.split(","), cursor.split(","), strict=True)
        for queue, before, after in parts:
            if before != after:
                queue._trim()
        if unsent is not None and any(
            len(queue._log) > queue.backlog_length for queue in self._queues
        ):
            self._trim_soon()

    def _sweep(self) -> None:
        super()._sweep()
        # Nothing is kept for those who were forgotten.
        for queue in self._queues:
            queue._trim()

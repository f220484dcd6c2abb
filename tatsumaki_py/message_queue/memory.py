"""The engine that keeps everything in this process; nothing survives a restart (who comes back then
is told of a gap).
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

from tatsumaki_py.message_queue.event import Event, next_id

if TYPE_CHECKING:
    from tatsumaki_py.message_queue import MessageQueue

__all__ = ["Accepted", "MemoryEngine"]


class Accepted:
    """An awaitable that is done: the ids of the published events, oldest first."""

    __slots__ = ("ids",)

    def __init__(self, ids: list[str]) -> None:
        self.ids = ids

    def __await__(self) -> Generator[Any, None, list[str]]:
        return self.ids
        yield


class MemoryEngine:
    """Gives ids by this machine's clock and hands the events to the queue at once."""

    def publish(self, queue: MessageQueue, bodies: Sequence[bytes]) -> Accepted:
        """Accept events, given as JSON, oldest first."""
        now = time.time_ns() // 1_000_000
        events: list[Event] = []
        prev = queue.cursor()
        for body in bodies:
            id = next_id(prev, now)
            events.append(Event(body, id, prev, channel=queue.channel))
            prev = id
        queue._accept(events)
        return Accepted([event.id for event in events])

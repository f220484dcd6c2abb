"""The engine that keeps everything in this process; nothing survives a restart (a client that comes
back then is told of a gap).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tatsumaki_py.done import Done
from tatsumaki_py.message_queue.event import Entry
from tatsumaki_py.message_queue.ids import Ids

if TYPE_CHECKING:
    from tatsumaki_py.message_queue import MessageQueue

__all__ = ["MemoryEngine"]


class MemoryEngine:
    """Gives ids by this machine's clock and hands the events to the queue at once.

    All channels share the ids: their order is the order in which events were published, also among
    channels.
    """

    def __init__(self, ids: Ids) -> None:
        self._ids = ids

    def publish(
        self,
        queue: MessageQueue,
        bodies: Sequence[bytes],
        key: str | None = None,
        *,
        quiet: bool = False,
    ) -> Done[list[str]]:
        """Accept events, given as JSON, oldest first. `key` is their idempotency key; `quiet` is
        whether only newcomers get them.
        """
        events: list[Entry] = []
        prev = queue.cursor()
        for body in bodies:
            id = self._ids.next()
            events.append(Entry(body, id, prev, channel=queue.channel, quiet=quiet))
            prev = id
        ids = [event.id for event in events]
        if key is not None and ids:
            queue._answered(key, bodies, ids)
        queue._accept(events)
        return Done(ids)

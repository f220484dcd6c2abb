"""What waits for the end of a burst, or for a slow peer."""

from __future__ import annotations

from collections.abc import Hashable

from tatsumaki_py.message_queue.event import Entry

__all__ = ["Pile"]


class Pile:
    """What waits to be sent, if it is more than one event."""

    __slots__ = ("firsts", "parts", "size")

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0
        self.firsts: dict[Hashable, Entry] = {}
        """The first event of each log."""

    def add(self, data: bytes, event: Entry | None) -> None:
        self.parts.append(data)
        self.size += len(data)
        if event is not None:
            self.firsts.setdefault(event.log, event)

"""Bytes that wait for the end of a burst, or for room in the kernel's buffer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Hashable, Iterable, Sequence

from tatsumaki_py.message_queue.event import Entry
from tatsumaki_py.push.framing import Framing

__all__ = ["Pile", "Rest", "first_of", "piled"]


class Pile:
    """Bytes of several events, or of data that is not an event, that wait to be sent."""

    __slots__ = ("events", "parts", "size", "times")

    def __init__(self, times: Iterable[float] = ()) -> None:
        self.parts: list[bytes] = []
        self.size = 0
        self.events: list[Entry] = []
        """The events, except those of a log that the stream reads itself."""
        self.times = [*times]
        """When each event of a log that the stream reads itself was published (`Entry.time`)."""

    def add(self, data: bytes, event: Entry | None, times: Sequence[float] = ()) -> None:
        """Add the bytes of `event`, or of events of a log that the stream reads itself, which were
        published at `times`.
        """
        self.parts.append(data)
        self.size += len(data)
        if event is not None:
            self.events.append(event)
        elif times:
            self.times += times

    @property
    def count(self) -> int:
        """The number of events."""
        return len(self.events) + len(self.times)

    def published(self) -> list[float]:
        """When each event was published."""
        return [*self.times, *(event.time for event in self.events)]

    def first_of(self, log: Hashable) -> Entry | None:
        """The first of `events` that belongs to `log` (`Entry.log`), or None."""
        return next((event for event in self.events if event.log == log), None)


class Rest:
    """Bytes that the kernel has not taken yet."""

    __slots__ = ("_out", "data", "firsts", "times")

    def __init__(self, data: memoryview, pile: Pile) -> None:
        self.data = data
        self.firsts: dict[Hashable, Entry] = {}
        """The first event of each log among those that are waiting; see `Pile.events`."""
        self.times: list[float] = []
        """When each event that has not been sent yet was published."""
        self._out: asyncio.Future[None] | None = None
        self.add(pile)

    def add(self, pile: Pile) -> None:
        """The bytes of `pile` follow these."""
        self.firsts = {event.log: event for event in reversed(pile.events)} | self.firsts
        self.times += pile.published()

    def out(self) -> Awaitable[None]:
        """An awaitable that completes when `release` is called."""
        if self._out is None or self._out.done():
            self._out = asyncio.get_running_loop().create_future()
        return self._out

    def inherit(self, before: Rest) -> None:
        """Let code that waits for `before` wait for this instead."""
        self._out, before._out = before._out, None

    def release(self) -> None:
        """Most of the bytes have been sent, or it is clear that they never will be."""
        if self._out is not None and not self._out.done():
            self._out.set_result(None)


def piled(waiting: Entry | Pile | None, framing: Framing) -> Pile:
    """`waiting` as a pile."""
    if isinstance(waiting, Pile):
        return waiting
    pile = Pile()
    if waiting is not None:
        pile.add(framing.frame(waiting), waiting)
    return pile


def first_of(waiting: Entry | Pile | None, log: Hashable) -> Entry | None:
    """The first event of `log` (`Entry.log`) in `waiting`, or None."""
    if isinstance(waiting, Pile):
        return waiting.first_of(log)
    return waiting if waiting is not None and waiting.log == log else None

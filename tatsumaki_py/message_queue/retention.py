"""What a channel keeps, and how long.

Rules:
1. The log is in the registry as long as it holds something or somebody uses it: a client of its
   own, or a merged queue that has clients. Nobody else needs it.
2. Nothing is dropped in the middle of a delivery.
3. What was published in the last `recovery_time` seconds is kept, within the bounds (`_recent`).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tatsumaki_py.message_queue.channel import Channel
from tatsumaki_py.message_queue.event import Entry
from tatsumaki_py.message_queue.idempotency import Answers
from tatsumaki_py.message_queue.log import EventLog

if TYPE_CHECKING:
    from tatsumaki_py.message_queue.merged import MergedQueue

__all__ = ["Retained"]

GRAIN = 1.0
"""Seconds between two places in the log that are kept for those who come back."""


class Retained(Channel):
    """A channel with a log of its own.

    The settings are defaults of the class; all but `max_channels`, `max_clients` and `max_size` may
    also be set on one queue.
    """

    channel: str
    """The name of the channel."""
    _log: EventLog

    backlog_length: int = 30
    """How many events a client that is new gets, and a channel keeps in any case
    (``$BacklogLength``).
    """
    buffer_length: int = 1000
    """How many events are kept at most: those of the last `recovery_time` seconds, and older ones
    for clients that are expected back or slow. Who lost some is told: a gap.
    """
    buffer_size: int = 16 * 1024 * 1024
    """How many bytes of events are kept at most: their JSON, and 512 bytes for each. As many may be
    taken by idempotency keys.
    """
    reconnect_time: float = 30.0
    """Seconds for which a client that is away is expected back."""
    recovery_time: float = 30.0
    """Seconds for which every event is kept, within the bounds above: a client that loses its
    connection does not have what was on its way, and comes back with an older cursor.
    """
    time_to_live: float | None = None
    """Seconds after which an event is dropped; None keeps it as long as the lengths above allow."""
    idle_timeout: float = 3600.0
    """Seconds after which a channel is forgotten in which nobody listens and nothing is
    published.
    """
    idempotency_time: float = 300.0
    """Seconds for which a channel remembers what was published with an `idempotency_key`."""
    idempotency_keys: int = 1000
    """How many such keys a channel remembers; the oldest go first."""
    max_size: int = 256 * 1024 * 1024
    """Bytes of events and idempotency keys in all channels. Beyond, the channels that are deserted
    longest are forgotten; if there is none, one more event is a 503.
    """
    max_event_size: int = 1024 * 1024
    """Bytes of JSON that one event may have; more is a 413."""
    max_channels: int = 10_000
    """Channels that hold events; one more is a 503."""
    max_clients: int = 200_000
    """Clients, listening or expected back, in all channels; one more is a 503. One that reads
    several channels counts once for each.
    """

    def __init__(self, channel: str) -> None:
        start = self._registry.top_of(channel)
        super().__init__(channel, EventLog(channel, start=start))
        self._answers = Answers()
        self._last_use = 0.0
        # Where the log was, every `GRAIN` of the last `recovery_time` seconds, and when; pinned.
        self._recent: deque[tuple[float, str]] = deque()
        self._counted = 0

    def __repr__(self) -> str:
        held = f"{len(self._log)} events, {len(self._clients)} clients"
        return f"<{type(self).__name__} {self.channel!r}: {held}>"

    # -- events

    def _accept(self, events: Sequence[Entry]) -> None:
        """Take events, which follow the top, from the engine, and deliver them."""
        for event in events:
            self._log.append(event)
        self._follow()

    # -- who uses it

    def _admit(self) -> str:
        self._registry.admit(self, self.max_clients)
        self._registry.use(self)
        return self._first_cursor()

    def _width(self) -> int:
        return 1

    def _holds_nothing(self) -> bool:
        return not self._log

    def _first_cursor(self) -> str:
        """Where a client begins that is new: it gets the backlog."""
        self._expire()
        backlog = self._log.newest(self.backlog_length)
        return backlog[0].prev if backlog else self._log.top

    def _join(self, merged: MergedQueue) -> None:
        """`merged` gets clients."""
        self._registry.use(self)
        self._merged[merged.channel] = merged

    def _part(self, merged: MergedQueue) -> None:
        """`merged` lost its clients."""
        if self._merged.pop(merged.channel, None) is not None:
            self._desert()

    def _in_use(self) -> bool:
        """Whether somebody is here or expected, or is so in a merged queue."""
        return self._occupied() or bool(self._merged)

    def _desert(self) -> None:
        self._registry.vacant.pop(self.channel, None)
        if self._in_use():
            return
        self._registry.desert(self)
        self._last_use = self._now()
        self._trim()
        if self.channel in self._registry.deserted:
            self._arm()

    def _use(self) -> None:
        """Events are about to come. 503 if there is no room for them, or for one more channel."""
        self._registry.make_room(self)
        self._registry.hold(self)
        self._last_use = now = self._now()
        if self.recovery_time and (not self._recent or now - self._recent[-1][0] >= GRAIN):
            self._recent.append((now, self._log.top))
            self._log.pin(self._log.top)
        self._arm()

    def _release(self) -> None:
        """Nobody needs what is here."""
        self._forget_places()
        self._log.clear()
        self._answers.clear()
        self._count()
        self._told = self._log.top
        self._disarm()
        self._registry.release(self)

    # -- dropping

    def _forget_places(self, before: float = float("inf")) -> None:
        """Those that nobody needs for what was published after `before`."""
        while self._recent:
            until = self._recent[1][0] if len(self._recent) > 1 else self._last_use
            if until > before:
                return
            self._log.unpin(self._recent.popleft()[1])

    def _trim(self) -> None:
        if self._delivering:
            return
        self._expire()
        if not self._waiting and not self._streams:
            self._told = self._log.top
        # What `append_backlog` left is still to be told to who listens, and what was written just
        # now is to reach the kernel: streams send soon.
        unsent = self._unsent()
        held = unsent or self._told
        self._forget_places(self._now() - self.recovery_time)
        self._log.pin(held)
        self._log.trim(self.backlog_length, self.buffer_length, self.buffer_size)
        self._log.unpin(held)
        self._count()
        if self.channel in self._registry.deserted and not self._holds_something():
            self._release()
        elif unsent is not None and len(self._log) > self.backlog_length:
            self._trim_soon()

    def _lately(self) -> str:
        self._forget_places(self._now() - self.recovery_time)
        return self._recent[0][1] if self._recent else self._log.top

    def _count(self) -> None:
        """Tell the registry how much is held here."""
        size = self._log.size + self._answers.size
        self._registry.size += size - self._counted
        self._counted = size
        if not self._holds_something():
            self._registry.holding.pop(self.channel, None)

    def _holds_something(self) -> bool:
        """Whether there are events or idempotency keys here."""
        return bool(self._log or self._answers)

    def _expire(self) -> None:
        if self.time_to_live is not None:
            self._log.expire(int((time.time() - self.time_to_live) * 1000))
            self._count()

    def _due(self) -> float | None:
        due = super()._due()
        if self._recent:
            due = min(self._last_use + self.recovery_time, due or float("inf"))
        if due is None and self.channel in self._registry.deserted:
            due = self._last_use + self.idle_timeout
        return due

    def _sweep(self) -> None:
        deserted = self.channel in self._registry.deserted
        if deserted and self._now() >= self._last_use + self.idle_timeout:
            self._release()
        else:
            super()._sweep()

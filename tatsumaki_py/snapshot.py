"""Snapshot: the counters of the server, as plain numbers.

>>> from tatsumaki_py import Snapshot
>>> async def watch():
...     before = Snapshot.take()
...     await asyncio.sleep(10)
...     now = Snapshot.take()
...     print(now.connections, now.events_published - before.events_published)
...     print(now.delivery_seconds.since(before.delivery_seconds).average)

Rule: a field has the name of its metric without ``tatsumaki_`` and ``_total``
(``docs/guide/monitoring.md``).
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from itertools import accumulate

from tatsumaki_py.counters import COUNTERS, Histogram, traffic
from tatsumaki_py.message_queue import MessageQueue
from tatsumaki_py.push.framing import Framing
from tatsumaki_py.push.lag import LoopLag
from tatsumaki_py.push.transports import TRANSPORTS

__all__ = ["Durations", "Snapshot"]


@dataclass(frozen=True)
class Durations:
    """The durations observed so far."""

    count: int
    """The number of durations."""
    sum: float
    """The sum of the durations, in seconds."""
    buckets: dict[float, int]
    """The number of durations up to each bound in seconds. The last bound is infinity."""

    @property
    def average(self) -> float | None:
        """The average in seconds; None if there are no durations."""
        return self.sum / self.count if self.count else None

    def since(self, before: Durations) -> Durations:
        """The durations observed after `before`."""
        buckets = {bound: count - before.buckets[bound] for bound, count in self.buckets.items()}
        return Durations(self.count - before.count, self.sum - before.sum, buckets)


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The numbers of this process at one moment; make it with `take`.

    Dicts by transport have all transports as keys, with 0 for a transport that was not used.
    """

    time: float
    """The time of the snapshot, in seconds by `time.monotonic`."""
    connections: dict[str, int]
    """Open streams and waiting polls, by transport."""
    connections_opened: dict[str, int]
    """Streams and polls so far, by transport."""
    connections_ended: dict[str, dict[str, int]]
    """Streams and polls that have ended, by transport and then by reason."""
    sent_bytes: dict[str, int]
    """Bytes that the kernel has taken, excluding headers, by transport."""
    events_published: int
    """Events that were added to channels."""
    events_delivered: dict[str, int]
    """Events that the kernel has taken, counted once for each client, by transport."""
    gaps_told: int
    """Gaps that were sent to clients that missed events."""
    refused: dict[str, int]
    """Requests and connections that were refused, by reason."""
    channels: int
    """Channels that have an event or a client."""
    clients: int
    """Clients that are connected or may still reconnect, counted once for each of their
    channels.
    """
    log_bytes: int
    """Bytes of the events that are kept."""
    engine_up: int
    """1, or 0 while the engine (Redis) cannot be reached."""
    delivery_seconds: Durations
    """Time from the publishing of an event until the kernel has taken its last byte, for each event
    and client.
    """
    loop_lag_seconds: Durations
    """Time by which a timer of the event loop was late, measured four times per second, starting
    with the first snapshot.
    """
    recent_loop_lag: float
    """The longest delay of the running loop within the last two seconds, in seconds."""

    @classmethod
    def take(cls) -> Snapshot:
        """The current numbers. Raises `RuntimeError` without a running event loop."""
        lag = LoopLag.current()
        # A transport that was not used yet also gets counters, which are zeros.
        each = [traffic(name) for name in (Framing.transport, *TRANSPORTS)]
        registry = MessageQueue._registry
        return cls(
            time=time.monotonic(),
            connections={one.name: one.open for one in each},
            connections_opened={one.name: one.opened for one in each},
            connections_ended={one.name: dict(one.ended) for one in each},
            sent_bytes={one.name: one.bytes for one in each},
            events_published=COUNTERS.published,
            events_delivered={one.name: one.events for one in each},
            gaps_told=COUNTERS.gaps,
            refused=dict(COUNTERS.refused),
            channels=len(registry.active),
            clients=registry.clients,
            log_bytes=registry.size,
            engine_up=COUNTERS.engine_up,
            delivery_seconds=_durations(COUNTERS.delivery),
            loop_lag_seconds=_durations(COUNTERS.lag),
            recent_loop_lag=lag.recent,
        )


def _durations(histogram: Histogram) -> Durations:
    bounds, counts = (*histogram.bounds, math.inf), [*accumulate(histogram.counts)]
    return Durations(counts[-1], histogram.sum, dict(zip(bounds, counts, strict=True)))

"""The counters of a process, which `MetricsHandler` shows.

Rules:
1. Counting is always on, so it has to be cheap: sent events are counted once per group of streams
   or per slow stream, never per delivery (``bench/metrics.py``).
2. The names of transports and reasons come from the program, never from a client, so the number of
   counters is bounded.
3. Each number only grows, except the numbers of open connections (`Traffic.open`) and
   `Counters.engine_up`.

The numbers cover all event loops of the process. If loops run in several threads, a count may be
lost.
"""

from __future__ import annotations

import random
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from typing import TypeVar

__all__ = ["COUNTERS", "REFUSALS", "Counters", "Histogram", "Traffic", "any_of", "traffic"]

T = TypeVar("T")


class Traffic:
    """The counters of one transport."""

    __slots__ = ("bytes", "ended", "events", "name", "open", "opened")

    def __init__(self, name: str) -> None:
        self.name = name
        self.open = 0
        """The number of open connections."""
        self.opened = 0
        """The number of connections so far."""
        self.ended: Counter[str] = Counter()
        """The number of connections that have ended, by reason."""
        self.events = 0
        """Events that the kernel has taken completely, counted once for each client."""
        self.bytes = 0
        """Bytes that the kernel has taken, excluding the headers of the answers."""

    def begin(self) -> None:
        """Count a connection that has opened."""
        self.open += 1
        self.opened += 1

    def end(self, reason: str) -> None:
        """Count a connection that has ended."""
        self.open -= 1
        self.ended[reason] += 1


class Histogram:
    """Counts durations in seconds, each under the smallest bound that it does not exceed."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, *bounds: float) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        """The number of durations up to each bound and above the previous one. The last number has
        no bound.
        """
        self.sum = 0.0

    def observe(self, seconds: float, times: int = 1) -> None:
        """Count a duration, `times` times."""
        seconds = max(seconds, 0.0)
        self.counts[bisect_left(self.bounds, seconds)] += times
        self.sum += seconds * times


def any_of(things: Sequence[T]) -> T:
    """One of `things`, chosen at random with equal chances.

    It may represent all of them in a histogram: on average, each bucket gets the same count as if
    every thing were counted.
    """
    return things[0] if len(things) == 1 else things[int(random.random() * len(things))]


REFUSALS = (
    "forbidden",  # 401, 403: the client is not allowed
    "rate",  # 429
    "clients",  # 503: too many clients
    "channels",
    "events",
    "draining",  # 503: the server is about to stop
    "descriptors",  # a connection was closed, because file descriptors ran short
)
"""The reasons for which requests and connections are refused."""


class Counters:
    """The counters of this process."""

    def __init__(self) -> None:
        self.traffic: dict[str, Traffic] = {}
        """By transport."""
        self.published = 0
        """Events that were added to the logs of the channels."""
        self.gaps = 0
        """Gaps that were sent to clients that missed events."""
        self.refused = Counter(dict.fromkeys(REFUSALS, 0))
        """Requests and connections that were refused, by the reason."""
        self.engine_up = 1
        """1 while the engine is known to accept events; 0 while Redis cannot be reached."""
        self.delivery = Histogram(
            0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0
        )
        """Seconds from the publishing of an event until the kernel has taken its last byte, for
        each event and client that was connected when the event was published.
        """
        self.lag = Histogram(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
        """Seconds by which a timer of the event loop was late."""

    def delivered(self, times: Sequence[float], clients: int = 1, *, since: float = 0.0) -> None:
        """Add events whose last byte the kernel has just taken, for `clients` clients, to the
        histogram. One event represents all of them; see `any_of`.

        Args:
            times: when each event was published (`Entry.time`).
            since: when the client subscribed. Events published earlier do not count.
        """
        if times:
            published = any_of(times)
            if published and published >= since:
                self.delivery.observe(time.monotonic() - published, len(times) * clients)


COUNTERS = Counters()


def traffic(name: str) -> Traffic:
    """The counters of the transport `name`. Creates them at the first call."""
    found = COUNTERS.traffic.get(name)
    if found is None:
        found = COUNTERS.traffic[name] = Traffic(name)
    return found

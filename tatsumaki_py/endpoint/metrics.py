"""MetricsHandler: the metrics of the server, for Prometheus.

>>> from tatsumaki_py import Application, MetricsHandler
>>> app = Application([("/metrics", MetricsHandler)])

Rules:
1. A scrape only reads counters. It visits no channel, client or stream. A thread formats the text,
   for one scrape at a time, so that many scrapes do not block the event loop.
2. Label values are names of transports and reasons, never of channels or clients.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from tatsumaki_py.endpoint.body_limit import UNREAD_SIZE
from tatsumaki_py.handler import Handler
from tatsumaki_py.push.per_loop import per_loop
from tatsumaki_py.snapshot import Durations, Snapshot

if TYPE_CHECKING:
    from prometheus_client.core import Metric

__all__ = ["MetricsHandler"]

# The fields of `Snapshot` that are shown: the kind of metric, the text, and the labels.
_METRICS = {
    "connections": ("gauge", "Streams that are open, and polls that wait", "transport"),
    "connections_opened": ("counter", "Streams and polls since the start", "transport"),
    "connections_ended": (
        "counter",
        "Streams and polls that have ended, by reason",
        "transport",
        "reason",
    ),
    "sent_bytes": (
        "counter",
        "Bytes of streams and answered polls that the kernel has taken, excluding headers",
        "transport",
    ),
    "events_published": ("counter", "Events that were added to channels"),
    "events_delivered": (
        "counter",
        "Events that the kernel has taken, counted once for each client",
        "transport",
    ),
    "gaps_told": ("counter", "Gaps sent to clients that missed events"),
    "refused": ("counter", "Requests and connections that were refused, by reason", "reason"),
    "channels": ("gauge", "Channels that have an event or a client"),
    "clients": ("gauge", "Clients, counted once for each of their channels"),
    "log_bytes": ("gauge", "Bytes of the events that are kept"),
    "engine_up": ("gauge", "1, or 0 while the engine cannot be reached"),
    "delivery_seconds": (
        "histogram",
        "Time from the publishing of an event until the kernel has taken its last byte",
    ),
    "loop_lag_seconds": ("histogram", "Delay of a timer of the event loop"),
}


class MetricsHandler(Handler):
    """Answers with the metrics of this process in the Prometheus text format, or in the OpenMetrics
    format if the client asks for it.

    The answer has the metrics of this package, whose names begin with ``tatsumaki_``, and those in
    ``prometheus_client.REGISTRY``: of the process, of Python, and of your program. Every client may
    read them unless you override `prepare` to refuse some clients.

    Needs ``prometheus_client``: ``pip install 'tatsumaki_py[metrics]'``. Without it, a request is
    answered with 500, and the log says so.
    """

    max_body_size: ClassVar[int | None] = UNREAD_SIZE

    async def get(self) -> None:
        try:
            from prometheus_client import REGISTRY
            from prometheus_client.exposition import choose_encoder
        except ImportError:
            raise RuntimeError(
                "MetricsHandler needs prometheus_client: pip install 'tatsumaki_py[metrics]'"
            ) from None
        try:
            encode, content_type = choose_encoder(self.request.headers.get("Accept", ""))
        except (TypeError, ValueError):
            # The client asks for an unknown version of the format.
            encode, content_type = choose_encoder("")
        async with per_loop(_Turn):
            if self._peer_left():
                return
            shown: Any = _Shown(Snapshot.take(), REGISTRY)
            data = await asyncio.get_running_loop().run_in_executor(None, encode, shown)
        self.set_header("Content-Type", content_type)
        self.set_header("Cache-Control", "no-store")
        self.finish(data)

    def compute_etag(self) -> str | None:
        """None, because every answer is different."""
        return None


class _Turn(asyncio.Lock):
    """Held while the text of a scrape is being made."""


class _Shown:
    """The metrics of the package and those of a registry."""

    def __init__(self, snapshot: Snapshot, registry: Any) -> None:
        self._snapshot = snapshot
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        yield from _families(self._snapshot)
        yield from self._registry.collect()


def _families(snapshot: Snapshot) -> Iterator[Metric]:
    """The metrics of this package."""
    from prometheus_client import core

    kinds = {"counter": core.CounterMetricFamily, "gauge": core.GaugeMetricFamily}
    for name, (kind, text, *labels) in _METRICS.items():
        value = getattr(snapshot, name)
        if isinstance(value, Durations):
            buckets = [(_bound(bound), count) for bound, count in value.buckets.items()]
            yield core.HistogramMetricFamily(
                f"tatsumaki_{name}", text, buckets=buckets, sum_value=value.sum
            )
            continue
        family = kinds[kind](f"tatsumaki_{name}", text, labels=labels)
        for values, number in _labelled(value):
            family.add_metric(values, number)
        yield family


def _bound(seconds: float) -> str:
    return "+Inf" if seconds == math.inf else str(seconds)


def _labelled(value: Any, *labels: str) -> Iterator[tuple[tuple[str, ...], int]]:
    """The numbers in `value`, each with the values of its labels."""
    if isinstance(value, dict):
        for label, inner in value.items():
            yield from _labelled(inner, *labels, label)
    else:
        yield labels, value

"""MetricsHandler: what the server does, for Prometheus.

>>> from tatsumaki_py import Application, MetricsHandler
>>> app = Application([("/metrics", MetricsHandler)])

Rules:
1. A scrape reads numbers that are there; it looks at no channel, client or stream. Making text of
   them is left to a thread.
2. The values of labels are names of transports and reasons, never those of channels or clients.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from tatsumaki_py.counters import COUNTERS, Histogram, traffic
from tatsumaki_py.endpoint.body_limit import UNREAD_SIZE
from tatsumaki_py.handler import Handler
from tatsumaki_py.message_queue import MessageQueue
from tatsumaki_py.push.framing import Framing
from tatsumaki_py.push.lag import LoopLag
from tatsumaki_py.push.transports import TRANSPORTS

if TYPE_CHECKING:
    from prometheus_client.core import HistogramMetricFamily, Metric

__all__ = ["MetricsHandler"]


class MetricsHandler(Handler):
    """Answers with the metrics of this process, in the text format of Prometheus, or in that of
    OpenMetrics if the client asks for it.

    They are those of this package, whose names begin with ``tatsumaki_``, and those in
    ``prometheus_client.REGISTRY``: of the process, of Python, and of your program. Any client may
    read them: refuse those that may not in `prepare`.

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
        LoopLag.current()
        try:
            encode, content_type = choose_encoder(self.request.headers.get("Accept", ""))
        except (TypeError, ValueError):
            # The client names a version that is none.
            encode, content_type = choose_encoder("")
        shown: Any = _Shown(list(_families()), REGISTRY)
        data = await asyncio.get_running_loop().run_in_executor(None, encode, shown)
        self.set_header("Content-Type", content_type)
        self.set_header("Cache-Control", "no-store")
        self.finish(data)

    def compute_etag(self) -> str | None:
        """None: no answer is like one before."""
        return None


class _Shown:
    """The metrics of the package and those of a registry."""

    def __init__(self, own: list[Metric], registry: Any) -> None:
        self._own = own
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        yield from self._own
        yield from self._registry.collect()


def _families() -> Iterator[Metric]:
    """The metrics of this package."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    def counted(
        name: str, text: str, values: Iterable[tuple[list[str], int]], *labels: str, now: bool
    ) -> Metric:
        kind = GaugeMetricFamily if now else CounterMetricFamily
        family = kind(f"tatsumaki_{name}", text, labels=labels)
        for names, value in values:
            family.add_metric(names, value)
        return family

    for name in (Framing.transport, *TRANSPORTS):
        # A transport that was not used yet is shown with zeros.
        traffic(name)
    all_traffic = list(COUNTERS.traffic.values())
    yield counted(
        "connections",
        "Streams that are open, and polls that wait",
        [([one.name], one.open) for one in all_traffic],
        "transport",
        now=True,
    )
    yield counted(
        "connections_opened",
        "Streams and polls so far",
        [([one.name], one.opened) for one in all_traffic],
        "transport",
        now=False,
    )
    yield counted(
        "connections_ended",
        "Streams and polls that have ended, by the reason",
        [([one.name, why], many) for one in all_traffic for why, many in one.ended.items()],
        "transport",
        "reason",
        now=False,
    )
    yield counted(
        "sent_bytes",
        "Bytes of streams and answered polls that the kernel has taken, without headers",
        [([one.name], one.bytes) for one in all_traffic],
        "transport",
        now=False,
    )
    yield counted(
        "events_delivered",
        "Events that the kernel has taken, once for each client",
        [([one.name], one.events) for one in all_traffic],
        "transport",
        now=False,
    )
    registry = MessageQueue._registry
    for name, text, value in (
        ("events_published", "Events that were added to channels", COUNTERS.published),
        ("gaps_told", "Gaps that clients were told of", COUNTERS.gaps),
    ):
        yield counted(name, text, [([], value)], now=False)
    yield counted(
        "refused",
        "Requests and connections that were refused, by the reason",
        [([why], many) for why, many in COUNTERS.refused.items()],
        "reason",
        now=False,
    )
    for name, text, value in (
        ("channels", "Channels that have an event or a client", len(registry.active)),
        ("clients", "Clients, once for each of their channels", registry.clients),
        ("log_bytes", "Bytes of the events that are kept", registry.size),
    ):
        yield counted(name, text, [([], value)], now=True)
    yield _histogram(
        "delivery_seconds",
        "Time from the publishing of an event until the kernel has taken its last byte",
        COUNTERS.delivery,
    )
    yield _histogram(
        "loop_lag_seconds", "Time by which a timer of the event loop came late", COUNTERS.lag
    )


def _histogram(name: str, text: str, histogram: Histogram) -> HistogramMetricFamily:
    from prometheus_client.core import HistogramMetricFamily

    buckets, total = [], 0
    bounds = [*map(str, histogram.bounds), "+Inf"]
    for bound, count in zip(bounds, histogram.counts, strict=True):
        total += count
        buckets.append((bound, float(total)))
    return HistogramMetricFamily(
        f"tatsumaki_{name}", text, buckets=buckets, sum_value=histogram.sum
    )

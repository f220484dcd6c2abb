"""What this server does, live on one page. Run it with ``make dashboard``.

A task in the background looks at the process once a second, and publishes what it sees on three
channels. The page subscribes to all three by one stream.
"""

import asyncio
import os
import time
from pathlib import Path

from tornado.web import RedirectHandler

from tatsumaki_py import (
    Application,
    Handler,
    HealthHandler,
    MessageQueue,
    Server,
    SubscribeHandler,
    TatsumakiJS,
)
from tatsumaki_py.counters import COUNTERS
from tatsumaki_py.push.lag import LoopLag

CHANNELS = ("cpu", "traffic", "server")
INTERVAL = 1.0
"""Seconds between two looks."""
HISTORY = 120
"""Looks that a page gets when it opens."""


class Figures(MessageQueue):
    backlog_length = HISTORY


class Dashboard(Handler):
    def get(self):
        self.render("dashboard.html", channels=CHANNELS, history=HISTORY)


class Machine:
    """The CPU time of all processes of the machine, where the system tells."""

    def __init__(self):
        self.cores = os.cpu_count() or 1
        self._before = self._times()

    def percent(self):
        """The share of the time since the last call in which the cores worked, or None."""
        before, self._before = self._before, self._times()
        if before is None or self._before is None:
            return None
        busy, total = (new - old for new, old in zip(self._before, before, strict=True))
        return round(100 * busy / total, 1) if total else None

    def _times(self):
        try:
            with open("/proc/stat") as stat:
                times = [int(field) for field in stat.readline().split()[1:9]]
        except OSError:
            return None
        # The fourth and fifth are those in which there was nothing to do.
        return sum(times) - sum(times[3:5]), sum(times)


def sent():
    """Events and bytes of all transports so far."""
    traffic = COUNTERS.traffic.values()
    return sum(one.events for one in traffic), sum(one.bytes for one in traffic)


def connections():
    """How many there are, by transport."""
    return {name: one.open for name, one in COUNTERS.traffic.items() if one.open}


def delay(before):
    """Milliseconds that a delivery took on average since `before`, and the new `before`."""
    now = sum(COUNTERS.delivery.counts), COUNTERS.delivery.sum
    count, seconds = now[0] - before[0], now[1] - before[1]
    return (round(1000 * seconds / count, 2) if count else None), now


async def watch():
    """Publish the figures once a second, until the server stops."""
    cpu, traffic, server = map(Figures.instance, CHANNELS)
    machine, lag, began = Machine(), LoopLag.current(), time.time()
    clock, used = time.monotonic(), time.process_time()
    published, (events, size) = COUNTERS.published, sent()
    _, delivered = delay((0, 0.0))
    while True:
        await asyncio.sleep(INTERVAL)
        now = time.time()
        seconds, clock = time.monotonic() - clock, time.monotonic()
        share, used = (time.process_time() - used) / seconds, time.process_time()
        cpu.publish(
            {
                "time": now,
                "process": round(100 * share, 1),
                "machine": machine.percent(),
                "cores": machine.cores,
            }
        )
        rates = [COUNTERS.published - published, *map(int.__sub__, sent(), (events, size))]
        published, (events, size) = COUNTERS.published, sent()
        average, delivered = delay(delivered)
        traffic.publish(
            {
                "time": now,
                "published": round(rates[0] / seconds, 1),
                "delivered": round(rates[1] / seconds, 1),
                "bytes": round(rates[2] / seconds),
                "delay": average,
            }
        )
        server.publish(
            {
                "time": now,
                "began": began,
                "connections": connections(),
                "channels": len(MessageQueue.channels()),
                "lag": round(1000 * lag.recent, 2),
            }
        )


app = Application(
    [
        ("/", RedirectHandler, {"url": "dashboard", "permanent": False}),
        ("/dashboard", Dashboard),
        ("/figures", SubscribeHandler),
        ("/health", HealthHandler),
        (r"/(tatsumaki\.js)", TatsumakiJS),
    ]
)
app.template_path = Path(__file__).parent / "templates"
app.static_path = Path(__file__).parent / "static"


@app.on_start
def begin():
    app.spawn(watch())


if __name__ == "__main__":
    Server().run(app)

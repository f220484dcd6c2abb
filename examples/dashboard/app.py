"""A page with live figures about this server. Run it with ``make dashboard``.

A background task collects the figures once a second and publishes them on three channels. The page
subscribes to all three with one stream.
"""

import asyncio
import time
from pathlib import Path

from tornado.web import RedirectHandler

from tatsumaki_py import (
    Application,
    Handler,
    HealthHandler,
    MessageQueue,
    Server,
    Snapshot,
    SubscribeHandler,
    TatsumakiJS,
)

CHANNELS = ("cpu", "traffic", "server")
HISTORY = 120
"""How many events of each channel a page gets when it opens."""


class Figures(MessageQueue):
    backlog_length = HISTORY


class Dashboard(Handler):
    def get(self):
        self.render("dashboard.html", channels=CHANNELS, history=HISTORY)


def cpu_times():
    """CPU seconds of this process; busy time and total time of the machine."""
    try:
        with open("/proc/stat") as stat:
            times = [int(field) for field in stat.readline().split()[1:9]]
    except OSError:
        times = [0] * 8
    # The fourth and fifth fields are idle time.
    return time.process_time(), sum(times) - sum(times[3:5]), sum(times)


async def watch():
    """Publish the figures once a second, until the server stops."""
    cpu, traffic, server = map(Figures.instance, CHANNELS)
    began, before, cpu_before = time.time(), Snapshot.take(), cpu_times()
    while True:
        await asyncio.sleep(1)
        now, cpu_now = Snapshot.take(), cpu_times()
        seconds = now.time - before.time
        used, worked, could = (new - old for new, old in zip(cpu_now, cpu_before, strict=True))
        delivered = sum(now.events_delivered.values()) - sum(before.events_delivered.values())
        size = sum(now.sent_bytes.values()) - sum(before.sent_bytes.values())
        cpu.publish(
            {"process": 100 * used / seconds, "machine": 100 * worked / could if could else None}
        )
        traffic.publish(
            {
                "published": (now.events_published - before.events_published) / seconds,
                "delivered": delivered / seconds,
                "bytes": size / seconds,
                "delay": now.delivery_seconds.since(before.delivery_seconds).average,
            }
        )
        server.publish(
            {
                "uptime": time.time() - began,
                "connections": {name: many for name, many in now.connections.items() if many},
                "channels": now.channels,
                "lag": now.recent_loop_lag,
            }
        )
        before, cpu_before = now, cpu_now


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

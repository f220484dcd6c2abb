"""`SubscribeHandler` and `PublishHandler`. When the server stops, it prints on stderr, as JSON, the
longest time for which its loop was blocked, and how long the streams took to end.
"""

import asyncio
import json
import logging
import sys
import time

from tatsumaki_py import Application, PublishHandler, Server, SubscribeHandler
from tatsumaki_py.health import Health

EVERY = 0.001


class Probe:
    """Reads the clock every millisecond."""

    began = longest = 0.0

    def start(self) -> None:
        self.last = time.process_time()
        self.look()

    def look(self) -> None:
        # CPU time, so that the time taken by other processes does not count.
        now = time.process_time()
        if Health.current().draining:
            self.began = self.began or time.perf_counter()
            self.longest = max(self.longest, now - self.last)
        self.last = now
        asyncio.get_running_loop().call_later(EVERY, self.look)

    def stop(self) -> None:
        took = time.perf_counter() - self.began
        print(json.dumps({"stall": self.longest, "took": took}), file=sys.stderr)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    probe = Probe()
    app = Application(
        [(r"/subscribe/(\w+)", SubscribeHandler), (r"/publish/(\w+)", PublishHandler)]
    )
    app.on_start(probe.start)
    app.on_stop(probe.stop)
    Server("127.0.0.1", int(sys.argv[1])).run(app)

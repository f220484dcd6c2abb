"""What do the counters behind `MetricsHandler` cost for each delivery?

The server always counts what it sends. It is compared with a server that does not count
(servers/uncounted.py), and with one whose metrics are scraped ten times a second. The process
publishes one event at a time, or 64, to 1000 subscribers. A figure is the CPU time for a delivery.
The cost is calculated from the lowest of all rounds, which other processes disturb least.
"""

import contextlib
import http.client
import threading
from collections.abc import Iterator
from dataclasses import replace

from harness.contenders import SUBSCRIBE_SSE, TATSUMAKI, Contender
from harness.process import Server, serving
from harness.report import Benchmark, Result

CLIENTS = 1000
STREAMS = {"SubscribeHandler": SUBSCRIBE_SSE, "callbacks that call stream_write": TATSUMAKI}
UNCOUNTED, COUNTED, SCRAPED = "not counted", "counted", "counted, and scraped"
INTERVAL = 0.1
"""Seconds between two scrapes."""


@contextlib.contextmanager
def scraping(server: Server) -> Iterator[None]:
    done = threading.Event()
    connection = http.client.HTTPConnection("127.0.0.1", server.port)

    def scrape() -> None:
        connection.request("GET", "/metrics")
        connection.getresponse().read()

    def repeat() -> None:
        while not done.wait(INTERVAL):
            scrape()

    # The first one loads prometheus_client.
    scrape()
    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def compare(bench: Benchmark, stream: Contender, what: str, window: int) -> None:
    best: dict[str, float] = {}

    def measure(contender: Contender) -> Result:
        with serving(contender) as server, contextlib.ExitStack() as stack:
            if contender.name == SCRAPED:
                stack.enter_context(scraping(server))
            result = bench.generator.run(
                server,
                mode="stream",
                inside=1,
                clients=CLIENTS,
                window=window,
                path=contender.stream,
                publish=contender.publish,
                header=contender.headers,
                seconds=0.5 if bench.quick else 1.0,
            )
        cpu = result["server_cpu"] / result["deliveries"] * 1e6
        best[contender.name] = min(cpu, best.get(contender.name, cpu))
        return {"cpu": cpu}

    contenders = [
        replace(stream, name=UNCOUNTED, server="uncounted.py"),
        replace(stream, name=COUNTED),
        replace(stream, name=SCRAPED),
    ]
    title = f"{what}, {window} in flight"
    results = bench.compare(title, contenders, measure)
    bench.table(
        title,
        ("server", "lowest, microseconds", "median", "spread", 'more than "not counted"'),
        [
            (
                name,
                f"{best[name]:.4f}",
                f"{result['cpu']:.4f}",
                f"{result['spread']:.0%}",
                f"{best[name] / best[UNCOUNTED] - 1:+.1%}",
            )
            for name, result in results.items()
        ],
    )


if __name__ == "__main__":
    bench = Benchmark(__doc__, files=2000)
    for what, stream in STREAMS.items():
        for window in (1, 64):
            compare(bench, stream, what, window)
    bench.end()

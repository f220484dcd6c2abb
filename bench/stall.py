"""How long do other requests wait while events are pushed to 10 000 streams?

A separate connection sends a plain request every 5 ms: first while nothing is published, then while
events are published, each when all streams have the last one. A request that becomes due while
another one waits counts with the time that it would have waited.
"""

from harness.contenders import STALLING, Contender
from harness.process import serving
from harness.report import Benchmark, Result, ratio

EVERY = 0.005

if __name__ == "__main__":
    bench = Benchmark(__doc__, files=11_000)
    clients = 2000 if bench.quick else 10_000
    seconds = 1.0 if bench.quick else 5.0

    def measure(contender: Contender) -> Result:
        options = {
            "mode": "stream",
            "clients": clients,
            "path": contender.stream,
            "publish": contender.publish,
            "header": contender.headers,
            "probe": contender.plain,
            "every": EVERY,
            "seconds": seconds,
        }
        with serving(contender) as server:
            idle = bench.generator.run(server, quiet=1, **options)
            server.settle()
            pushing = bench.generator.run(server, **options)
        return {
            "worst": pushing["worst"],
            "p99": pushing["p99"],
            "p50": pushing["p50"],
            "idle worst": idle["worst"],
            "idle p99": idle["p99"],
            "rate": pushing["deliveries"] / pushing["seconds"],
        }

    title = f"a plain request beside {clients} streams"
    results = bench.compare(title, STALLING, measure)
    bench.table(
        title,
        (
            "contender",
            "worst ms",
            "spread",
            "its worst / tatsumaki_py's",
            "p99 ms",
            "p50 ms",
            "worst ms, idle",
            "p99 ms, idle",
            "deliveries/s",
        ),
        [
            (
                name,
                f"{result['worst'] * 1e3:.1f}",
                f"{result['spread']:.0%}",
                ratio(results, name, "worst", lower_is_better=True),
                f"{result['p99'] * 1e3:.1f}",
                f"{result['p50'] * 1e3:.1f}",
                f"{result['idle worst'] * 1e3:.1f}",
                f"{result['idle p99'] * 1e3:.1f}",
                f"{result['rate']:,.0f}",
            )
            for name, result in results.items()
        ],
    )
    bench.end()

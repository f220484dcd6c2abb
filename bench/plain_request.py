"""What does a plain request cost: text, a JSON list, a template?

Compares a `Handler` and a plain Tornado application, each on both HTTP servers of `Server`, with
plain Tornado and aiohttp. 32 clients repeat the request as soon as they have the answer.
"""

from collections.abc import Sequence

from harness.contenders import PLAIN, Contender
from harness.process import serving
from harness.report import Benchmark, Result, ratio

PATHS = {"Hello World": "/hello", "JSON list": "/list", "template": "/page"}


def compare(
    bench: Benchmark, title: str, path: str, contenders: Sequence[Contender]
) -> dict[str, Result]:
    def measure(contender: Contender) -> Result:
        with serving(contender) as server:
            result = bench.generator.run(
                server, mode="request", clients=32, path=path, seconds=0.5 if bench.quick else 3
            )
        return {
            "rate": result["deliveries"] / result["seconds"],
            "cpu": result["server_cpu"] / result["deliveries"] * 1e6,
            "p99": result["p99"],
            "generator": result["generator_cpu"] / result["seconds"],
        }

    results = bench.compare(title, contenders, measure)
    bench.table(
        title,
        (
            "contender",
            "requests/s",
            "spread",
            "tatsumaki_py is x times as fast",
            "server CPU microseconds",
            "its CPU time / tatsumaki_py's",
            "p99 ms",
            "generator busy",
        ),
        [
            (
                name,
                f"{result['rate']:,.0f}",
                f"{result['spread']:.0%}",
                ratio(results, name, "rate"),
                f"{result['cpu']:.1f}",
                ratio(results, name, "cpu", lower_is_better=True),
                f"{result['p99'] * 1e3:.2f}",
                f"{result['generator']:.0%}",
            )
            for name, result in results.items()
        ],
    )
    return results


if __name__ == "__main__":
    bench = Benchmark(__doc__)
    for title, path in PATHS.items():
        compare(bench, title, path, PLAIN)
    bench.end()

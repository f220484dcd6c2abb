"""Publishes to many subscribers and measures the delivery, for three of the benchmarks."""

from collections.abc import Sequence

from harness.contenders import TATSUMAKI, Contender
from harness.process import serving
from harness.report import Benchmark, Result, ratio

COLUMNS = (
    "contender",
    "deliveries/s",
    "spread",
    "tatsumaki_py is x times as fast",
    "p50 ms",
    "p99 ms",
    "its p99 / tatsumaki_py's",
    "server CPU s per million",
    "server busy",
    "generator busy",
)
NOTE = """\
The server has one core and the generator the other. If the server was busy all the time, the
numbers are its limit. If not, it waited for the generator, or other processes used its core.
"""


def compare(
    bench: Benchmark,
    title: str,
    contenders: Sequence[Contender],
    *,
    clients: int,
    window: int = 1,
    mode: str = "stream",
) -> dict[str, Result]:
    """Measure and print a table; `window` events are in flight."""
    seconds = 0.5 if bench.quick else 2.0

    def measure(contender: Contender) -> Result:
        with serving(contender) as server:
            result = bench.generator.run(
                server,
                mode=mode,
                clients=clients,
                window=window,
                path=contender.poll if mode == "poll" else contender.stream,
                publish=contender.publish,
                header=contender.headers if mode == "stream" else (),
                echo=contender.poll_echo if mode == "poll" else (),
                seconds=seconds,
            )
        return {
            "rate": result["deliveries"] / result["seconds"],
            "p50": result["p50"],
            "p99": result["p99"],
            "cpu": result["server_cpu"] / result["deliveries"] * 1e6,
            "server": result["server_cpu"] / result["seconds"],
            "generator": result["generator_cpu"] / result["seconds"],
        }

    results = bench.compare(title, contenders, measure)
    bench.table(
        title,
        COLUMNS,
        [
            (
                name,
                f"{result['rate']:,.0f}",
                f"{result['spread']:.0%}",
                ratio(results, name, "rate"),
                f"{result['p50'] * 1e3:.2f}",
                f"{result['p99'] * 1e3:.2f}",
                ratio(results, name, "p99", lower_is_better=True),
                f"{result['cpu']:.2f}",
                f"{result['server']:.0%}",
                f"{result['generator']:.0%}",
            )
            for name, result in results.items()
        ],
    )
    _compare_rates(bench, title, contenders, results)
    return results


def _compare_rates(
    bench: Benchmark, title: str, contenders: Sequence[Contender], results: dict[str, Result]
) -> None:
    """Compare each of our contenders with each of the others."""
    running = [contender for contender in contenders if contender.name in results]
    ours = [contender.name for contender in running if contender.server == TATSUMAKI.server]
    others = [contender.name for contender in running if contender.server != TATSUMAKI.server]
    if ours:
        bench.table(
            f"{title}, deliveries/s compared with the others",
            ("compared with", *ours),
            [
                (
                    other,
                    *(f"{results[name]['rate'] / results[other]['rate']:.2f} x" for name in ours),
                )
                for other in others
            ],
        )

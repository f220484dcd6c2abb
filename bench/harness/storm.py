"""Many clients connect at once; measures how long it takes until all are served."""

from harness.report import Benchmark, Result, ratio


def result_of(run: Result, clients: int) -> Result:
    """`cpu` is in microseconds of the server for each client."""
    return {
        "seconds": run["seconds"],
        "p50": run["p50"],
        "p99": run["p99"],
        "cpu": run["server_cpu"] / clients * 1e6,
        "generator": run["generator_cpu"] / run["seconds"],
    }


def table(bench: Benchmark, title: str, results: dict[str, Result]) -> None:
    bench.table(
        title,
        (
            "contender",
            "seconds until all",
            "spread",
            "tatsumaki_py is x times as fast",
            "p50 s",
            "p99 s",
            "server CPU microseconds each",
            "its CPU time / tatsumaki_py's",
            "generator busy",
        ),
        [
            (
                name,
                f"{result['seconds']:.3f}",
                f"{result['spread']:.0%}",
                ratio(results, name, "seconds", lower_is_better=True),
                f"{result['p50']:.3f}",
                f"{result['p99']:.3f}",
                f"{result['cpu']:.0f}",
                ratio(results, name, "cpu", lower_is_better=True),
                f"{result['generator']:.0%}",
            )
            for name, result in results.items()
        ],
    )

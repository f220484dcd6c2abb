"""Many clients that come at once, and how long it takes until all have what they came for."""

from harness.report import Benchmark, Result, ratio


def result_of(run: Result) -> Result:
    return {
        "seconds": run["seconds"],
        "p50": run["p50"],
        "p99": run["p99"],
        "cpu": run["server_cpu"],
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
            "server CPU s",
        ),
        [
            (
                name,
                f"{result['seconds']:.3f}",
                f"{result['spread']:.0%}",
                ratio(results, name, "seconds", lower_is_better=True),
                f"{result['p50']:.3f}",
                f"{result['p99']:.3f}",
                f"{result['cpu']:.3f}",
            )
            for name, result in results.items()
        ],
    )

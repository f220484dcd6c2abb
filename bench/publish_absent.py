"""What does `publish` cost with 100 000 absent clients, and with 1, 100 and 10 000 channels?

An absent client was answered and is expected back. The benchmark runs in one process without a
socket, because otherwise the difference would be too small to see. It has no other contenders,
because none remembers clients.
"""

from harness.contenders import Contender
from harness.process import run_alone
from harness.report import Benchmark

CASES = {  # absent clients, channels
    "1 channel, none absent": (0, 1),
    "1 channel, 1000 absent": (1_000, 1),
    "1 channel, 100 000 absent": (100_000, 1),
    "100 channels, none absent": (0, 100),
    "10 000 channels, none absent": (0, 10_000),
}
if __name__ == "__main__":
    bench = Benchmark(__doc__)
    title = "Cost of a publish"
    results = bench.compare(
        title,
        [Contender(name, "in_process.py") for name in CASES],
        lambda case: run_alone(case.server, *CASES[case.name]),
    )
    base = next(iter(results.values()), {"microseconds": 0})["microseconds"]
    bench.table(
        title,
        ("case", "microseconds", "spread", "x the first"),
        [
            (
                name,
                f"{result['microseconds']:.1f}",
                f"{result['spread']:.0%}",
                f"{result['microseconds'] / base:.2f}",
            )
            for name, result in results.items()
        ],
    )
    bench.end()

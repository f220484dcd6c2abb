"""How many answers per second do 500 long-poll clients get if each polls again immediately?

The next event is published when all clients have the last one. A client polls again on the same
connection as soon as it has an answer.
"""

from collections.abc import Sequence

from harness import delivery
from harness.contenders import LONG_POLLS, Contender
from harness.report import Benchmark, Result


def compare(bench: Benchmark, contenders: Sequence[Contender]) -> dict[str, Result]:
    return delivery.compare(bench, "500 long polls", contenders, clients=500, mode="poll")


if __name__ == "__main__":
    bench = Benchmark(__doc__)
    print(delivery.NOTE)
    compare(bench, LONG_POLLS)
    bench.end()

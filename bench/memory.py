"""How much memory does an idle subscriber cost, at 10 000 streams and at 10 000 waiting long-polls?

Anonymous and shared memory of all processes of the server (nchan keeps its messages in shared
memory), before the clients came and when the server is idle again. A few others were there before,
so that nothing is counted that is made once. What the kernel keeps for a socket is the same for all
and not counted.
"""

from collections.abc import Sequence

from harness.contenders import LONG_POLLS, STREAMS, Contender
from harness.process import serving
from harness.report import Benchmark, Result, ratio

WARM = 20  # few: what they leave behind is used again by those who are counted


def compare(bench: Benchmark, title: str, contenders: Sequence[Contender], poll: bool) -> None:
    clients = 2000 if bench.quick else 10_000

    def measure(contender: Contender) -> Result:
        options = (
            {"path": contender.poll, "asked": 1}
            if poll
            else {"path": contender.stream, "header": contender.headers}
        )
        with serving(contender) as server:
            with bench.generator.holding(server, clients=WARM, **options):
                server.settle()
            server.settle()
            before = server.memory()
            with bench.generator.holding(server, clients=clients, **options):
                server.settle()
                return {"bytes": (server.memory() - before) / clients}

    results = bench.compare(title, contenders, measure)
    bench.table(
        f"{clients} {title}",
        ("contender", "KB each", "spread", "this / tatsumaki_py"),
        [
            (
                name,
                f"{result['bytes'] / 1000:.1f}",
                f"{result['spread']:.0%}",
                ratio(results, name, "bytes", lower_is_better=True),
            )
            for name, result in results.items()
        ],
    )


if __name__ == "__main__":
    bench = Benchmark(__doc__, files=11_000)
    compare(bench, "idle streams", STREAMS, poll=False)
    compare(bench, "waiting long-polls", LONG_POLLS, poll=True)
    bench.end()

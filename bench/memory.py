"""How much memory does a waiting client take, with 10 000 clients of each kind?

Streams, long polls that wait for an event, and kept-alive connections without a request. The figure
is the growth of the anonymous and shared memory of all processes of the server (nchan keeps its
messages in shared memory) from before the clients connect until the server is idle again. A few
clients connect earlier, so that one-time allocations are not counted. The kernel's memory for a
socket is the same for all servers, and is not counted.
"""

from collections.abc import Callable, Sequence
from typing import Any

from harness.contenders import KEPT_ALIVE, LONG_POLLS, STREAMS, Contender
from harness.process import serving
from harness.report import Benchmark, Result, ratio

WARM = 20  # Only a few: the counted clients reuse the memory that these leave behind.

Kind = Callable[[Contender], dict[str, Any]]
"""Makes the options of the load generator for a contender (see loadgen.c)."""


def stream(contender: Contender) -> dict[str, Any]:
    return {"path": contender.stream, "header": contender.headers}


def poll(contender: Contender) -> dict[str, Any]:
    return {"path": contender.poll, "asked": 1}


def unused(_contender: Contender) -> dict[str, Any]:
    return {"silent": 1}


def answered(contender: Contender) -> dict[str, Any]:
    return {"path": contender.plain, "once": 1}


KINDS: dict[str, tuple[Kind, Sequence[Contender]]] = {
    "idle streams": (stream, STREAMS),
    "waiting long polls": (poll, LONG_POLLS),
    "connections before their first request": (unused, KEPT_ALIVE),
    "kept-alive connections after one answer": (answered, KEPT_ALIVE),
}


def compare(bench: Benchmark, kind: str, contenders: Sequence[Contender]) -> dict[str, Result]:
    clients = 2000 if bench.quick else 10_000

    def measure(contender: Contender) -> Result:
        options = KINDS[kind][0](contender)
        with serving(contender) as server:
            with bench.generator.holding(server, clients=WARM, **options):
                server.settle()
            server.settle()
            before = server.memory()
            with bench.generator.holding(server, clients=clients, **options):
                server.settle()
                return {"bytes": (server.memory() - before) / clients}

    results = bench.compare(kind, contenders, measure)
    bench.table(
        f"{clients} {kind}",
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
    return results


if __name__ == "__main__":
    bench = Benchmark(__doc__, files=11_000)
    for kind, (_, contenders) in KINDS.items():
        compare(bench, kind, contenders)
    bench.end()

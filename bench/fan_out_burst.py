"""What does a delivery cost when 64 events at a time go to 1000 subscribers?

First with 64 publishers: each publishes by POST as soon as fewer than 64 events are in flight. The
bare loop is not the upper limit here, because it makes one `send` for each event.

Then without a publisher: the process itself publishes 64 events, and the next 64 when all were
delivered. Here the bare loop joins them: one `send` to each subscriber.

The cost of a POST is measured with one subscriber: the CPU time of an event published by POST,
minus that of an event that the process itself publishes.
"""

from collections.abc import Sequence

from harness import delivery
from harness.contenders import BUN_WEBSOCKET, INSIDE, STREAMS, Contender
from harness.process import serving
from harness.report import Benchmark, Result

CLIENTS, WINDOW = 1000, 64


def compare_posted(bench: Benchmark, contenders: Sequence[Contender]) -> dict[str, Result]:
    title = f"{WINDOW} events in flight"
    return delivery.compare(bench, title, contenders, clients=CLIENTS, window=WINDOW)


def cpu(bench: Benchmark, contender: Contender, *, clients: int, inside: int) -> float:
    """Microseconds of CPU time of the server for each delivery."""
    with serving(contender) as server:
        result = bench.generator.run(
            server,
            mode="stream",
            inside=inside,
            clients=clients,
            window=WINDOW,
            path=contender.stream,
            publish=contender.publish,
            header=contender.headers,
            seconds=0.5 if bench.quick else 1.0,
        )
    return result["server_cpu"] / result["deliveries"] * 1e6


def compare_inside(bench: Benchmark, posted: dict[str, Result]) -> None:
    def measure(contender: Contender) -> Result:
        return {
            "inside": cpu(bench, contender, clients=CLIENTS, inside=1),
            "post": cpu(bench, contender, clients=1, inside=0)
            - cpu(bench, contender, clients=1, inside=1),
        }

    title = f"CPU for a delivery, {WINDOW} events in flight, {CLIENTS} subscribers"
    results = bench.compare(title, INSIDE, measure)
    for name, result in results.items():
        result["posted"] = posted[name]["cpu"] if name in posted else float("nan")
        result["rest"] = result["posted"] - result["post"] / CLIENTS

    def compared(result: Result, key: str) -> str:
        bun = results.get(BUN_WEBSOCKET.name)
        return f"{bun[key] / result[key]:.2f}" if bun else "-"

    bench.table(
        title,
        (
            "contender",
            "microseconds, published inside",
            "spread",
            "Bun's topics / this",
            "microseconds, by POST",
            "without the POST",
            "Bun's topics / this, without the POST",
            "the POST, microseconds",
        ),
        [
            (
                name,
                f"{result['inside']:.3f}",
                f"{result['spread']:.0%}",
                compared(result, "inside"),
                f"{result['posted']:.3f}",
                f"{result['rest']:.3f}",
                compared(result, "rest"),
                f"{result['post']:.0f}",
            )
            for name, result in results.items()
        ],
    )


if __name__ == "__main__":
    bench = Benchmark(__doc__, files=2000)
    print(delivery.NOTE)
    compare_inside(bench, compare_posted(bench, STREAMS))
    bench.end()

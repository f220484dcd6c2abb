"""What does a delivery cost with 10 000 subscribers on 10 000 channels instead of one?

The process itself publishes one event to each channel, and the next ones when all subscribers have
theirs. For comparison, it publishes one event at a time to 10 000 subscribers of one channel.

A measurement takes four seconds, because one pass of Python's garbage collector over 10 000
connections can take a second.
"""

from harness.contenders import INSIDE, SOCKET_LOOP, Contender
from harness.process import serving
from harness.report import Benchmark, Result

# The bare loop has no channels.
CONTENDERS = tuple(contender for contender in INSIDE if contender is not SOCKET_LOOP)


def cpu(bench: Benchmark, contender: Contender, path: str, **options: int) -> float:
    """Microseconds of CPU time of the server for each delivery."""
    with serving(contender) as server:
        result = bench.generator.run(
            server,
            mode="stream",
            inside=1,
            path=path,
            header=contender.headers,
            seconds=1.0 if bench.quick else 4.0,
            deadline=120,
            **options,
        )
    return result["server_cpu"] / result["deliveries"] * 1e6


if __name__ == "__main__":
    bench = Benchmark(__doc__, files=11_000)
    clients = 2000 if bench.quick else 10_000

    def measure(contender: Contender) -> Result:
        one = contender.stream
        many = one.replace("{id}", "").replace("room", "room{id}")
        each = {"channels": clients, "window": clients, "reach": 1}
        return {
            "many": cpu(bench, contender, many, clients=clients, **each),
            "one": cpu(bench, contender, one, clients=clients),
        }

    title = f"CPU for a delivery, {clients} subscribers"
    results = bench.compare(title, CONTENDERS, measure)
    bench.table(
        title,
        (
            "contender",
            f"microseconds, {clients} channels",
            "spread",
            "microseconds, one channel",
            "many / one",
        ),
        [
            (
                name,
                f"{result['many']:.2f}",
                f"{result['spread']:.0%}",
                f"{result['one']:.2f}",
                f"{result['many'] / result['one']:.2f}",
            )
            for name, result in results.items()
        ],
    )
    bench.end()

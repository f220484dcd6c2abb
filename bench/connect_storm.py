"""If 5000 clients connect at once, how long does it take until all are subscribed?

To prove it, one event is published when the last client has its response headers; the event must
reach all of them. All servers listen with the same backlog, 4096. Bun is left out: its backlog is
always 512.
"""

from collections.abc import Sequence

from harness import storm
from harness.contenders import CONNECTING, Contender
from harness.process import serving
from harness.report import Benchmark, Result


def compare(bench: Benchmark, contenders: Sequence[Contender]) -> dict[str, Result]:
    clients = 1000 if bench.quick else 5000

    def measure(contender: Contender) -> Result:
        with serving(contender) as server:
            return storm.result_of(
                bench.generator.run(
                    server,
                    mode="connect",
                    verify=1,
                    clients=clients,
                    path=contender.stream,
                    publish=contender.publish,
                    header=contender.headers,
                ),
                clients,
            )

    title = f"{clients} connections at once"
    results = bench.compare(title, contenders, measure)
    storm.table(bench, title, results)
    return results


if __name__ == "__main__":
    bench = Benchmark(__doc__, files=6000)
    compare(bench, CONNECTING)
    bench.end()

"""How many deliveries per second, with one event at a time to 100, 1000 and 5000 subscribers?

The next event is published when all subscribers have the last one and its publisher has the answer.
"""

from harness import delivery
from harness.contenders import STREAMS
from harness.report import Benchmark

if __name__ == "__main__":
    bench = Benchmark(__doc__, files=6000)
    print(delivery.NOTE)
    for clients in (1000,) if bench.quick else (100, 1000, 5000):
        delivery.compare(bench, f"{clients} subscribers", STREAMS, clients=clients)
    bench.end()

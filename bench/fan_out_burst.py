"""How many deliveries a second to 1000 subscribers with 64 events in flight?

64 publishers publish as soon as fewer than 64 events are on their way to somebody. The bare loop is
no limit here: it makes one `send` of each event.
"""

from harness import delivery
from harness.contenders import STREAMS
from harness.report import Benchmark

if __name__ == "__main__":
    bench = Benchmark(__doc__, files=2000)
    print(delivery.NOTE)
    delivery.compare(bench, "64 events in flight", STREAMS, clients=1000, window=64)
    bench.end()

"""How many answers a second when 500 long-poll clients ask again at once?

The next event is published when all have the last one; a client asks again on its connection the
moment it has an answer.
"""

from harness import delivery
from harness.contenders import LONG_POLLS
from harness.report import Benchmark

if __name__ == "__main__":
    bench = Benchmark(__doc__)
    print(delivery.NOTE)
    delivery.compare(bench, "500 long-polls", LONG_POLLS, clients=500, mode="poll")
    bench.end()

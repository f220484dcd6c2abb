"""Not a server: measures the cost of one `publish` in this process. Prints {"microseconds": ...}.

usage: in_process.py ABSENT CHANNELS. Each channel has one listening stream; the absent clients are
spread over the channels, and have different cursors.
"""

import asyncio
import json
import sys
import time
from typing import Any

from tatsumaki_py import MessageQueue

EVENT = {
    "type": "message",
    "html": "This is an event of the benchmark",
    "ident": "bench",
    "time": 1,
}
PUBLISHED = 20_000
BATCHES = 100


def ignore(*events: Any) -> None:
    pass


async def main(absent: int, channels: int) -> None:
    queues = [MessageQueue.instance(f"room {number}") for number in range(channels)]
    for queue in queues:
        queue.poll("stream", ignore)
    for number in range(absent):
        queue = queues[number % channels]
        if number % max(1, absent // BATCHES) == 0:
            queue.publish(EVENT)
        queue.poll_once(f"client {number}", ignore)  # answered immediately from the backlog
    seconds = 0.0
    for number in range(PUBLISHED):
        began = time.perf_counter()
        queues[number % channels].publish(EVENT)
        seconds += time.perf_counter() - began
        if number % 100 == 0:
            await asyncio.sleep(0)
    remembered = sum(len(queue.clients) for queue in queues) - channels
    if remembered != absent:
        sys.exit(f"{absent} absent clients, later {remembered}: the machine is too slow")
    print(json.dumps({"microseconds": seconds / PUBLISHED * 1e6}))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))

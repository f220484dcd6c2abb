"""Not a server: measures how fast a process can publish through its engine. Prints {"rate": ...,
"cpu": microseconds for each, "published": ...}.

usage: publishing.py IN_FLIGHT CHANNELS SECONDS. Each of IN_FLIGHT publishers publishes its next
event when the last one is accepted, to one of CHANNELS channels. The channels have no listeners.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable

from tatsumaki_py import MessageQueue

EVENT = {
    "type": "message",
    "html": "This is an event of the benchmark",
    "ident": "bench",
    "time": 1,
}
WARM = 0.3


async def report(run: Callable[[float], Awaitable[int]], seconds: float) -> None:
    """Measure and print the speed of `run`, which publishes until a time and returns how many
    events it published.
    """
    warm = await run(time.perf_counter() + WARM)
    began, cpu = time.perf_counter(), time.process_time()
    count = await run(began + seconds)
    cpu, took = time.process_time() - cpu, time.perf_counter() - began
    result = {"rate": count / took, "cpu": cpu / count * 1e6, "published": warm + count}
    print(json.dumps(result))


async def publish(channel: str, until: float) -> int:
    queue = MessageQueue.instance(channel)
    count = 0
    while time.perf_counter() < until:
        await queue.publish(EVENT)
        count += 1
        if count % 100 == 0:
            await asyncio.sleep(0)  # the in-memory engine never waits
    return count


async def main(in_flight: int, channels: int, seconds: float) -> None:
    names = [f"room{number % channels}" for number in range(in_flight)]

    async def run(until: float) -> int:
        return sum(await asyncio.gather(*(publish(name, until) for name in names)))

    await report(run, seconds)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))

"""Not a server: measures how fast plain pipelines of redis-py can publish with the engine's script.
Prints the same as publishing.py.

usage: redis_pipeline.py IN_FLIGHT CHANNELS SECONDS. Each pipeline has IN_FLIGHT calls.
"""

import asyncio
import json
import os
import sys
import time
from itertools import count

from publishing import EVENT, report
from redis.asyncio import Redis

from tatsumaki_py.message_queue.engine.redis.calls import publish_call
from tatsumaki_py.message_queue.engine.redis.keys import Keys
from tatsumaki_py.message_queue.engine.redis.scripts import PUBLISH


async def main(in_flight: int, channels: int, seconds: float) -> None:
    redis = Redis.from_url(os.environ["TATSUMAKI_ENGINE"])
    digest = await redis.script_load(PUBLISH.text)
    keys = [Keys("tats", f"room{number % channels}") for number in range(in_flight)]
    body = json.dumps(EVENT).encode()
    numbers = count()

    async def run(until: float) -> int:
        published = 0
        while time.perf_counter() < until:
            pipeline = redis.pipeline(transaction=False)
            for channel in keys:
                words = publish_call(channel, "bare", next(numbers), [body], top_time=60)
                pipeline.evalsha(digest, *words)
            await pipeline.execute()
            published += in_flight
        return published

    await report(run, seconds)
    await redis.aclose()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))

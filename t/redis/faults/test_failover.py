"""centrifugo#1189, redisson#6541: another server becomes the master, and the old one continues as
its replica. A subscriber never writes, so it gets no error.
"""

import asyncio
import contextlib

import pytest
from support.redis_sentinel import make_watched  # noqa: F401


@pytest.fixture
def quick_outage(log_watch):
    """A failover may be too quick for a log line that says that Redis was away."""
    with (
        contextlib.suppress(pytest.fail.Exception),
        log_watch.expect("tatsumaki", r"Redis at chat at \S+ is (away|back)"),
    ):
        yield


@pytest.mark.gen_test
async def test_the_old_master_lives(make_watched, make_scene, quick_outage):  # noqa: F811
    """Each client gets all accepted events in order, or a gap for those that only the old master
    had. All clients get the later events.
    """
    watched = make_watched()
    scene = await make_scene(watched, publish_timeout=10.0)
    scene.elsewhere()
    accepted, over = [], False

    async def publish(call, start):
        number = start
        while not over:
            await call(number, key=f"{number}")
            accepted.append(number)
            number += 1
            await asyncio.sleep(0.002)

    publishing = [
        asyncio.ensure_future(publish(scene.publish, 0)),
        asyncio.ensure_future(publish(scene.publish_elsewhere, 1_000_000)),
    ]
    await asyncio.sleep(0.1)
    await asyncio.to_thread(watched.fail_over)
    after = len(accepted)
    await scene.until(lambda: len(accepted) > after + 20)
    over = True
    await asyncio.gather(*publishing)
    await scene.publish(-1)
    await scene.until_all(lambda follower: follower.seen[-1:] == [-1])
    for follower in scene.followers:
        seen = follower.seen[:-1]
        gap = len(seen) - seen[::-1].index("gap") if "gap" in seen else 0
        for kept in (seen[:gap], seen[gap:]):
            for low in (0, 1_000_000):
                numbers = [n for n in kept if n != "gap" and low <= n < low + 1_000_000]
                assert numbers == sorted(set(numbers)), follower.name
        if not gap:
            assert sorted(seen) == sorted(accepted), follower.name

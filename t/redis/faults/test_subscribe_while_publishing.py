"""message_bus#59: a client subscribes while events are published, and misses some of them."""

import asyncio
import itertools

import pytest
from support.follower import Follower
from support.subscriber import STREAMS


@pytest.mark.gen_test
async def test_at_full_rate(make_scene, redis_server):
    """Each client gets all events after its first one, without gaps or repetitions."""
    scene = await make_scene(redis_server, linger=0)
    scene.elsewhere()
    done = False

    async def publish():
        for n in itertools.count():
            await scene.publish_elsewhere(n)
            if done:
                return n

    publishing = asyncio.ensure_future(publish())
    newcomers = []
    for turn in range(30):
        newcomers.append(Follower(scene.http_port, (STREAMS[turn % len(STREAMS)],)).follow())
        await asyncio.sleep(0.01)
        if turn % 3 == 0:
            # Now and then, the channel is loaded again.
            await newcomers.pop(0).aclose()
    done = True
    last = await publishing
    scene.followers += newcomers
    await scene.until_all(lambda follower: follower.seen[-1:] == [last])
    for follower in scene.followers:
        seen = follower.seen
        assert seen == [*range(seen[0], last + 1)], follower.name
    assert scene.followers[0].seen[0] == 0

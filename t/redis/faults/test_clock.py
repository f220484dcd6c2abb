"""nchan#229: the clock of the Redis host is set back or ahead by an hour."""

import pytest

from tatsumaki_py.message_queue.ids import position


@pytest.mark.parametrize("hours", [-1, 1], ids=["back", "ahead"])
@pytest.mark.gen_test
async def test_it_is_set(make_scene, make_redis, hours):
    """Ids increase, and no client misses an event, whether it stays or reconnects."""
    server = make_redis(own_clock=True)
    scene = await make_scene(server)
    ids = await scene.publish(0) + await scene.publish_elsewhere(1)
    await scene.all_get(0, 1)
    server.shift_clock(hours * 3600)
    ids += await scene.publish(2) + await scene.publish_elsewhere(3)
    await scene.all_get(0, 1, 2, 3)
    for follower in scene.followers:
        await follower.aclose()
    ids += await scene.publish_elsewhere(4)
    for follower in scene.followers:
        follower.follow()
    server.shift_clock(0)
    ids += await scene.publish(5, key="key") + await scene.publish_elsewhere(6)
    await scene.all_get(*range(7))
    assert [position(id) for id in ids] == sorted(map(position, ids))
    assert await scene.publish_elsewhere(5, key="key") == ids[5:6]

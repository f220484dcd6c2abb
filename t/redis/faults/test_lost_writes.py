"""centrifugo#664, SignalR#3091: a server takes over without the last writes."""

import pytest

from tatsumaki_py.message_queue.ids import position


@pytest.mark.gen_test
async def test_the_gap_is_told(make_scene, make_redis, outage):
    """A client that has a lost event gets a gap, then the kept events, then new ones. No id is used
    twice.
    """
    server = make_redis()
    scene = await make_scene(server)
    first = await scene.publish(0)
    await scene.all_get(0)
    # The file contains the data of a replica.
    server.ask("SAVE")
    lost = await scene.publish(1, 2)
    await scene.all_get(0, 1, 2)
    server.kill()
    await scene.until(lambda: outage() == ["away"])
    server.start()
    new = await scene.publish(3)
    await scene.until_all(lambda follower: follower.seen[-1:] == [3])
    assert [position(id) for id in first + lost + new] == sorted(map(position, first + lost + new))
    for follower in scene.followers:
        assert follower.seen[:4] == [0, 1, 2, "gap"], follower.name
        # Kept events may arrive again: the server does not know that the client has them.
        assert follower.seen[4:] in ([3], [0, 3]), follower.name
    assert outage() == ["away", "back"]


@pytest.mark.gen_test
async def test_a_client_that_had_none_of_them(make_scene, make_redis, outage):
    """A client that was away and has no lost event gets no gap."""
    server = make_redis()
    scene = await make_scene(server, "sse", "ndjson")
    await scene.publish(0)
    await scene.all_get(0)
    server.ask("SAVE")
    for follower in scene.followers:
        await follower.aclose()
    await scene.publish(1)
    server.kill()
    await scene.until(lambda: outage() == ["away"])
    server.start()
    (id,) = await scene.publish(2)
    await scene.until(lambda: scene.queue.cursor() == id)
    for follower in scene.followers:
        follower.follow()
    await scene.all_get(0, 2)


@pytest.mark.gen_test
async def test_everything_is_lost(make_scene, redis_server):
    """After a FLUSHALL, clients get a gap, even in a channel without new events."""
    scene = await make_scene(redis_server)
    await scene.publish(0)
    await scene.all_get(0)
    redis_server.ask("FLUSHALL")
    await scene.until_all(lambda follower: follower.seen == [0, "gap"])
    await scene.publish_elsewhere(1)
    await scene.all_get(0, "gap", 1)


@pytest.mark.gen_test
async def test_only_the_newest_id_is_lost(make_scene, redis_server):
    """If only the newest id was evicted, it is restored from the events, and clients get no gap."""
    scene = await make_scene(redis_server)
    ids = await scene.publish(0)
    for n in range(1, 4):
        redis_server.ask("DEL", "tats:{room}:t")
        ids += await scene.publish_elsewhere(n)
    await scene.all_get(0, 1, 2, 3)
    assert [position(id) for id in ids] == sorted(map(position, ids))

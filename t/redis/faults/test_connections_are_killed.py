"""redis-py#2089: the server closes connections while commands and messages are in flight."""

import asyncio

import pytest


@pytest.mark.parametrize("kind", ["normal", "pubsub"])
@pytest.mark.gen_test
async def test_in_a_burst(make_scene, redis_server, kind):
    """Each client gets every event once, each publisher gets an answer, and nothing is logged."""
    scene = await make_scene(redis_server)
    scene.elsewhere()
    answers = []
    for n in range(200):
        answers.append(asyncio.ensure_future(scene.publish(n)))
        await asyncio.sleep(0.001)
        if n % 50 == 25:
            redis_server.ask("CLIENT", "KILL", "TYPE", kind)
    ids = [id for ids in await asyncio.gather(*answers) for id in ids]
    assert len(set(ids)) == 200
    await scene.all_get(*range(200))


@pytest.mark.gen_test
async def test_of_two_publishers(make_scene, redis_server):
    """The events of each process keep their order, and all clients get the same order."""
    scene = await make_scene(redis_server)
    answers = []
    for n in range(100):
        answers.append(asyncio.ensure_future(scene.publish(n)))
        answers.append(asyncio.ensure_future(scene.publish_elsewhere(1000 + n)))
        await asyncio.sleep(0.001)
        if n % 50 == 25:
            redis_server.ask("CLIENT", "KILL", "TYPE", ("normal", "pubsub")[n // 50 % 2])
    await asyncio.gather(*answers)
    await scene.until_all(lambda follower: len(follower.seen) == 200)
    seen = scene.followers[0].seen
    assert [n for n in seen if n < 1000] == [*range(100)]
    assert [n - 1000 for n in seen if n >= 1000] == [*range(100)]
    await scene.all_get(*seen)

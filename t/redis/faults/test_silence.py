"""redis-py#1137, centrifugo#1189: packets are dropped, and no FIN ends the connection."""

import asyncio

import pytest


@pytest.mark.parametrize("answers_only", [True, False], ids=["answers", "all"])
@pytest.mark.gen_test
async def test_connections_go_silent(make_scene, redis_server, answers_only):
    """Clients and publishers wait until the silence is noticed, and no event is lost."""
    scene = await make_scene(redis_server)
    await scene.publish_elsewhere(0)
    await scene.all_get(0)
    scene.network.freeze(answers_only)
    await scene.publish_elsewhere(1)
    await scene.publish(2)
    await scene.publish_elsewhere(3)
    await scene.all_get(0, 1, 2, 3)


@pytest.mark.gen_test
async def test_the_network_is_away(make_scene, redis_server, outage):
    """New connections are silent, too: publishes wait, in order."""
    scene = await make_scene(redis_server)
    scene.network.silent = True
    scene.network.freeze()
    answers = [asyncio.ensure_future(scene.publish(n)) for n in range(3)]
    await scene.publish_elsewhere(100)
    await scene.until(lambda: outage() == ["away"])
    scene.network.silent = False
    await asyncio.gather(*answers)
    await scene.all_get(100, 0, 1, 2)
    await scene.until(lambda: outage() == ["away", "back"])

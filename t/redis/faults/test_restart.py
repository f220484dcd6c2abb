"""Redis is killed with kill -9 and restarted from its AOF file."""

import asyncio

import pytest


@pytest.mark.gen_test
async def test_with_a_file(make_scene, make_redis, outage):
    """Clients miss no event and get no gap; events published meanwhile are accepted in order."""
    server = make_redis(appendonly="yes", appendfsync="always")
    scene = await make_scene(server)
    await scene.publish(0)
    await scene.publish_elsewhere(1)
    await scene.all_get(0, 1)
    answers = [asyncio.ensure_future(scene.publish(n)) for n in range(2, 12)]
    await asyncio.sleep(0)
    server.kill()
    await scene.until(lambda: outage() == ["away"])
    await asyncio.to_thread(server.start)
    await asyncio.gather(*answers)
    await scene.publish_elsewhere(12)
    await scene.all_get(*range(13))
    await scene.until(lambda: outage() == ["away", "back"])

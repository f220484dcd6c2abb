"""solid_cable#71: the task that reads from Redis dies unnoticed."""

import pytest


@pytest.mark.gen_test
async def test_it_dies(make_scene, redis_server, expect_log):
    """The reader is restarted, this is logged, and no client misses an event."""
    scene = await make_scene(redis_server)
    await scene.publish_elsewhere(0)
    await scene.all_get(0)
    with expect_log("tatsumaki", "the pub/sub reader failed") as lines:
        scene.session._listener._task.cancel()
        await scene.publish_elsewhere(1)
        await scene.all_get(0, 1)
    assert len(lines) == 1

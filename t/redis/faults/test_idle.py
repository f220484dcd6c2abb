"""redis-py#4098: a subscription that is idle for longer than a timeout of the socket ends."""

import asyncio
import re

import pytest


def subscriptions(server):
    """The ids of the connections that are subscribed to channels."""
    return re.findall(r"\bid=(\d+)", server.ask("CLIENT", "LIST", "TYPE", "pubsub"))


@pytest.mark.gen_test
async def test_a_long_time(make_scene, redis_server):
    """After some timeouts an event comes, on the connection that there was."""
    short = {"command_timeout": 0.25, "connect_timeout": 0.25, "check_interval": 60}
    scene = await make_scene(redis_server, **short)
    scene.elsewhere()
    await scene.publish_elsewhere(0)
    await scene.all_get(0)
    before = subscriptions(redis_server)
    assert len(before) == 1
    await asyncio.sleep(0.8)
    await scene.publish_elsewhere(1)
    await scene.all_get(0, 1)
    assert subscriptions(redis_server) == before

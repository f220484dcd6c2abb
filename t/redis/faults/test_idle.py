"""redis-py#4098: a subscription ends if it is idle for longer than a socket timeout."""

import asyncio
import re

import pytest


def subscriptions(server):
    """The ids of the connections that are subscribed to channels."""
    return re.findall(r"\bid=(\d+)", server.ask("CLIENT", "LIST", "TYPE", "pubsub"))


@pytest.mark.gen_test
async def test_a_long_time(make_scene, redis_server):
    """After several timeouts, an event still arrives on the same connection."""
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

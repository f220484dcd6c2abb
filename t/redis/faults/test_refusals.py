"""Redis answers but refuses commands: NOSCRIPT, BUSY, READONLY, OOM."""

import asyncio
import contextlib

import pytest


@pytest.mark.gen_test
async def test_scripts_are_forgotten(make_scene, redis_server):
    """If Redis forgets the scripts, they are sent again."""
    scene = await make_scene(redis_server)
    for n in range(6):
        redis_server.ask("SCRIPT", "FLUSH")
        await (scene.publish if n % 2 else scene.publish_elsewhere)(n)
    await scene.all_get(*range(6))


@pytest.mark.gen_test
async def test_a_script_of_another_program_hangs(make_scene, make_redis, outage):
    """Publishers and clients wait until the script ends, and keep their order."""
    server = make_redis(lua_time_limit=10)
    scene = await make_scene(server)
    hung = asyncio.ensure_future(asyncio.to_thread(hang, server))
    await asyncio.sleep(0.05)
    answers = [asyncio.ensure_future(scene.publish(n)) for n in range(5)]
    answers.append(asyncio.ensure_future(scene.post(5)))
    await scene.until(lambda: outage() == ["away"])
    server.ask("SCRIPT", "KILL")
    *_, reply = await asyncio.gather(*answers)
    await hung
    assert reply.status in (200, 503)
    await scene.all_get(*range(6 if reply.status == 200 else 5))
    await scene.until(lambda: outage() == ["away", "back"])


def hang(server):
    # `ask` would not wait long enough for this answer.
    with contextlib.suppress(OSError):
        server.ask("EVAL", "while true do end", 0)


@pytest.mark.gen_test
async def test_the_master_becomes_a_replica(make_scene, make_redis, outage):
    """The old master is alive but accepts no writes: publishes wait for a master that does."""
    server = make_redis()
    scene = await make_scene(server)
    await scene.publish(0)
    server.ask("REPLICAOF", "127.0.0.1", 1)
    answers = [asyncio.ensure_future(scene.publish(n)) for n in range(1, 4)]
    await scene.until(lambda: outage() == ["away"])
    server.ask("REPLICAOF", "NO", "ONE")
    await asyncio.gather(*answers)
    await scene.all_get(0, 1, 2, 3)
    await scene.until(lambda: outage() == ["away", "back"])


@pytest.mark.gen_test
async def test_the_memory_is_full(make_scene, make_redis):
    """Publishers get a 503 immediately; clients stay, and get the events that are accepted
    later.
    """
    server = make_redis(maxmemory_policy="noeviction")
    scene = await make_scene(server)
    await scene.publish(0)
    await scene.all_get(0)
    server.ask("CONFIG", "SET", "maxmemory", 1)
    reply = await scene.post(1)
    assert (reply.status, reply.body) == (503, b"Redis is out of memory")
    connections = [len(follower.connections) for follower in scene.followers[:4]]
    server.ask("CONFIG", "SET", "maxmemory", 0)
    assert (await scene.post(2)).status == 200
    await scene.all_get(0, 2)
    assert [len(follower.connections) for follower in scene.followers[:4]] == connections

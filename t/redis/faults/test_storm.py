"""All clients reconnect together, as after a restart of the proxy, and Redis is not asked."""

import asyncio

import pytest

from tatsumaki_py.message_queue.engine.redis.presence import lives
from tatsumaki_py.testing import Connection

STREAMS, POLLS, CONNECTIONS = 500, 90, 50


@pytest.mark.gen_test(timeout=60)
async def test_five_thousand_clients(make_scene, redis_server, monkeypatch):
    """Clients whose cursor is in the log here are served from it without a command to Redis."""
    # Each process sends these commands regularly.
    monkeypatch.setattr(lives, "BEAT_INTERVAL", 60)
    scene = await make_scene(redis_server, "ndjson", probe_interval=60, check_interval=60)
    await scene.publish(0)
    await scene.publish(1)
    await scene.all_get(0, 1)
    before = commands(redis_server)
    clients = await asyncio.gather(*(stream(scene) for _ in range(STREAMS)))
    await asyncio.gather(*(polls(scene) for _ in range(CONNECTIONS)))
    assert commands(redis_server) == before
    # One message delivers the event to all of them.
    await scene.publish_elsewhere(2)
    await asyncio.gather(*(client.read_until(b'{"n":2}') for client in clients))
    for client in clients:
        client.close()
    await scene.until(lambda: len(scene.queue.clients) == 1)


async def stream(scene):
    """A client that has the first event, and gets the second one."""
    client = await Connection.connect(scene.http_port)
    await client.send(request(scene, "sse"))
    await client.read_until(b'{"n":0}')
    await client.read_until(b'{"n":1}')
    return client


async def polls(scene):
    """Send this number of polls over a shared connection, as behind a proxy."""
    client = await Connection.connect(scene.http_port)
    await client.send(request(scene, "long-poll") * POLLS)
    for _ in range(POLLS):
        await client.read_until(b'\r\n\r\n[{"n":0},{"n":1}]')
    client.close()


def request(scene, transport):
    return (
        f"GET /events/room?transport={transport}&last_event_id={scene.start_place} HTTP/1.1\r\n"
        "Host: x\r\n\r\n"
    ).encode()


def commands(server):
    """The number of calls of each command, excluding those of the tests."""
    calls = server.calls()
    return {name: count for name, count in calls.items() if name not in ("info", "quit")}

"""Clients and publishers see the right answers while Redis is away, and recover when Redis
is back.
"""

import asyncio
import re
import time

import pytest
from support.follower import Follower
from support.subscriber import CLIENTS
from support.wire import read_chunk

from tatsumaki_py import Error, Snapshot
from tatsumaki_py.message_queue.engine.redis import publishing
from tatsumaki_py.testing import Ended


@pytest.fixture
def away(make_scene, make_redis, outage):
    """`scene, server = await away()`: all clients have one event, and Redis is away."""

    async def away(*transports, **options):
        server = make_redis(appendonly="yes", appendfsync="always")
        scene = await make_scene(server, *transports, **options)
        await scene.publish(0)
        await scene.all_get(0)
        server.kill()
        await scene.until(lambda: outage() == ["away"])
        return scene, server

    return away


@pytest.mark.gen_test
async def test_what_waits(away, outage, clock):
    """Streams and long polls keep waiting, with heartbeats, on their existing connections."""
    scene, server = await away()
    waiting = [one for one in scene.followers if one.transports != ("interval-poll",)]
    connections = [len(follower.connections) for follower in waiting]
    streams = [follower for follower in waiting if follower.streams]
    beats = [follower.heartbeats for follower in streams]
    await clock.advance(26)
    pairs = list(zip(streams, beats, strict=True))
    await scene.until(lambda: all(one.heartbeats > before for one, before in pairs))
    assert [len(follower.connections) for follower in waiting] == connections
    await asyncio.to_thread(server.start)
    await scene.publish_elsewhere(1)
    await scene.all_get(0, 1)
    assert [len(one.connections) for one in waiting if one.streams] == connections[: len(streams)]
    await scene.until(lambda: outage() == ["away", "back"])


@pytest.mark.gen_test
async def test_clients_whose_place_is_in_the_log_here(away):
    """Clients whose place is in the log here are served as usual, on every transport."""
    scene, _ = await away("ndjson")
    for transport in CLIENTS:
        again = Follower(scene.http_port, (transport,), cursor=scene.start_place).follow()
        await again.until(lambda one: one.seen == [0])
        assert again.refusals == []
        await again.aclose()


@pytest.mark.gen_test
async def test_clients_that_need_redis(away, http_port):
    """A stream opens, says when to reconnect, and ends: after any other answer, an EventSource
    would give up. A poll gets a 503 with Retry-After. When Redis is back, both get their events.
    """
    scene, server = await away("ndjson")
    for query in ({"path": "/events/new"}, {"cursor": "1-1"}):
        stream = CLIENTS["sse"](http_port, **query)
        assert (await stream.open()).status == 200
        rest = b""
        while chunk := await read_chunk(stream.connection):
            rest += chunk
        assert re.fullmatch(rb"(retry: [1-9]\d{2,4}\n|:?\n)+", rest), rest
        poll = CLIENTS["long-poll"](http_port, **query)
        head = await poll.open()
        assert (head.status, 0 < int(head.headers["retry-after"]) < 60) == (503, True)
        socket = CLIENTS["websocket"](http_port, **query)
        await socket.open()
        with pytest.raises(Ended) as ended:
            await socket.next()
        assert ended.value.args == (1001,)
        for client in (stream, poll, socket):
            client.close()
    newcomers = [Follower(http_port, (name,), path="/events/new").follow() for name in CLIENTS]
    scene.followers += newcomers
    await asyncio.to_thread(server.start)
    await scene.publish_elsewhere(1, channel="new")
    for newcomer in newcomers:
        await newcomer.until(lambda one: one.seen == [1])


@pytest.mark.gen_test
async def test_publishers(away):
    """Each publisher gets a 503 within `publish_timeout`, and its events never arrive later."""
    scene, server = await away("sse", "long-poll", publish_timeout=0.3)
    began = time.monotonic()
    results = await asyncio.gather(
        *(scene.publish(n) for n in range(1, 20)), return_exceptions=True
    )
    assert {type(result) for result in results} == {Error.HTTP}
    assert {(error.code, error.retry_after > 0) for error in results} == {(503, True)}
    reply = await scene.post(20)
    assert (reply.status, int(reply.headers["retry-after"]) > 0) == (503, True)
    assert b"Redis" in reply.body
    assert time.monotonic() - began < 2
    await asyncio.to_thread(server.start)
    await scene.publish_elsewhere(21)
    assert (await scene.post(22)).status == 200
    await scene.all_get(0, 21, 22)


@pytest.mark.gen_test
async def test_nothing_grows_without_bound(away, monkeypatch):
    """The events that wait are bounded, and more get a 503; afterwards, the space is free again."""
    monkeypatch.setattr(publishing, "MAX_WAITING", 4_000_000)
    scene, server = await away("sse", publish_timeout=30)
    large = {"n": 1, "text": "x" * 100_000}
    answers = [asyncio.ensure_future(publish(scene, large)) for _ in range(50)]
    done, waiting = await asyncio.wait(answers, timeout=0.3)
    assert {one.exception().code for one in done} == {503}
    assert 30 < len(waiting) < 40
    await asyncio.to_thread(server.start)
    await asyncio.gather(*waiting)
    await scene.until_all(lambda follower: len(follower.seen) == 1 + len(waiting))


async def publish(scene, event):
    return await scene.queue.publish(event)


@pytest.mark.gen_test
async def test_health_and_metrics(away, fetch):
    """The health check still succeeds, or all workers would be removed together; a metric shows the
    outage.
    """
    await away("sse")
    assert (await fetch("/health")).code == 200
    assert Snapshot.take().engine_up == 0

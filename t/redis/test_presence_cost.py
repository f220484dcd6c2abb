"""Named and anonymous clients cost Redis few commands."""

import asyncio

import pytest
from message_queue.fakes import Taker
from support.answers import until

from tatsumaki_py import MessageQueue
from tatsumaki_py.message_queue.engine.redis.presence import lives

IDLE = 2000
STORM = 1000


@pytest.fixture
def queue(redis_server, io_loop):
    """A queue of this process, with the Redis engine."""
    MessageQueue.configure(redis_server.url, check_interval=3600, probe_interval=3600)
    yield MessageQueue.instance("room")

    async def end():
        engine = MessageQueue._registry.engine
        MessageQueue.reset()
        await engine.close()

    io_loop.run_sync(end)


def commands(server):
    """The number of calls of each command since the last call, excluding those of this function."""
    calls = server.calls()
    server.ask("CONFIG", "RESETSTAT")
    ours = ("info", "config", "quit")
    return {name: count for name, count in calls.items() if name.split("|")[0] not in ours}


async def rest(server):
    """Wait until Redis has processed all earlier commands, and only signs of life arrive."""
    busy = True
    while busy:
        commands(server)
        await asyncio.sleep(0.3)
        busy = sum(commands(server).values()) > 50


@pytest.mark.gen_test(timeout=60)
async def test_idle(queue, redis_server, monkeypatch):
    """Many idle named clients, each in a separate channel, cost as much as one."""
    monkeypatch.setattr(lives, "BEAT_INTERVAL", 0.1)
    queues = [MessageQueue.instance(f"room{number}") for number in range(IDLE)]
    polls = [one.poll("me", Taker()) for one in queues]
    assert all(await asyncio.gather(*(poll.arrival for poll in polls)))
    await asyncio.gather(*(one.ready() for one in queues))
    await rest(redis_server)
    await asyncio.sleep(1.0)
    # Ten signs of life need a few commands each.
    assert sum(commands(redis_server).values()) < 100


@pytest.mark.gen_test(timeout=60)
async def test_a_storm(queue, redis_server):
    """If the cursors are in the log here, anonymous clients cost nothing, and named ones one script
    each.
    """
    ids = await queue.publish(*({"n": n} for n in range(10)))
    queue.poll(None, Taker())
    await until(lambda: queue.cursor() == ids[-1])
    await until(lambda: redis_server.ask("ZCARD", "tats:{%all}:alive") == ":1")
    await rest(redis_server)
    takers = [Taker() for _ in range(STORM)]
    for taker in takers:
        queue.poll(None, taker, last_event_id=ids[4])
    assert all(taker.seen == [5, 6, 7, 8, 9] for taker in takers)
    await asyncio.sleep(0.2)
    assert commands(redis_server) == {}
    named = [queue.poll(f"c{number}", Taker(), last_event_id=ids[4]) for number in range(STORM)]
    assert all(await asyncio.gather(*(poll.arrival for poll in named)))
    calls = commands(redis_server)
    assert (calls["evalsha"] + calls["eval"], calls["hset"] - STORM) == (STORM, STORM)
    assert set(calls) <= {"evalsha", "eval", "hset", "hget", "pexpire", "get"}

"""The last event of each key is kept for new clients, even if the log has dropped it."""

import asyncio
import time

import pytest
from engine.feed import answer, bodies, numbers


async def publish(engine, feed, *pairs):
    """Publish events with a number and a key."""
    return [
        id for number, key in pairs for id in await engine.publish(feed, bodies(number), key=key)
    ]


async def newcomer(attached, engine, name="room", **settings):
    """The numbers that a new client gets in a process that did not use the channel before."""
    feed = await attached(engine, name, **settings)
    return feed.newcomer


OLD = [(n, None) for n in range(10, 60)]


@pytest.mark.gen_test
async def test_loaded(engine, other, attached):
    """A process that loads the channel gets the last event of each key, with its id and its key."""
    settings = {"backlog_length": 1, "buffer_length": 3}
    there = await attached(other, **settings)
    ids = await publish(other, there, (1, "a"), (2, "ü €"), (3, "a"), *OLD)
    feed = await attached(engine, **settings)
    assert feed.newcomer == [2, 3, 59]
    kept = feed.log.since(*feed.log.newcomer(1))
    assert [(entry.id, entry.prev, entry.key) for entry in kept] == [
        (ids[1], ids[0], "ü €"),
        (ids[2], ids[1], "a"),
        (ids[-1], ids[-2], None),
    ]
    # While both processes listen, both keep the same events.
    await publish(engine, feed, (60, "ü €"), (61, None))
    await there.until(lambda: there.newcomer == feed.newcomer == [3, 60, 61])


@pytest.mark.gen_test
async def test_history(engine, other, attached):
    """Events from `history`, which are put before the log, have their keys."""
    there = await attached(other)
    ids = await publish(other, there, (1, "a"), (2, "b"), (3, "a"), (4, None), (5, None))
    feed = await attached(engine, backlog_length=2)
    assert feed.newcomer == [2, 3, 4, 5]
    events = await answer(engine.history(feed, ids[0], 100))
    assert [(*numbers([entry]), entry.key) for entry in events] == [(2, "b"), (3, "a")]
    feed.log.prepend(events)
    assert feed.newcomer == [2, 3, 4, 5]


@pytest.mark.gen_test
async def test_together(engine, other, attached):
    """If several events are published together with a key, the last one is kept, even if other
    publishes come in the same iteration of the loop.
    """
    settings = {"backlog_length": 0}
    there = await attached(other, **settings)
    await asyncio.gather(
        other.publish(there, bodies(1), key="a"),
        other.publish(there, bodies(2, 3), key="b", quiet=True),
        other.publish(there, bodies(4)),
        other.publish(there, bodies(5, 6), key="a"),
    )
    feed = await attached(engine, **settings)
    assert feed.newcomer == [3, 6]
    assert [entry.quiet for entry in feed.log.since(*feed.log.newcomer(0))] == [True, False]


@pytest.mark.gen_test
async def test_bounds(engine, other, attached):
    """If there are more keys than `kept_keys`, or if their events have too many bytes, the keys
    that were published longest ago are evicted.
    """
    settings = {"backlog_length": 0, "kept_keys": 3}
    there = await attached(other, **settings)
    await publish(other, there, *[(n, f"{n % 7}") for n in range(20)], (20, "6"))
    assert await newcomer(attached, engine, **settings) == [18, 19, 20]
    large = {"backlog_length": 0, "buffer_size": 20_000}
    there = await attached(other, "large", **large)
    for n in range(20):
        body = b'{"n":%d,"text":"%b"}' % (n, b"x" * 3000)
        await other.publish(there, [body], key=f"{n}")
    got = await newcomer(attached, engine, "large", **large)
    assert got == [17, 18, 19][-len(got) :] != []


@pytest.mark.gen_test
async def test_expired(engine, other, attached):
    """The last event of a key is dropped when it reaches the age `time_to_live`."""
    settings = {"backlog_length": 0, "time_to_live": 0.3}
    there = await attached(other, **settings)
    await publish(other, there, (1, "a"))
    time.sleep(0.31)
    await publish(other, there, (2, "b"))
    assert await newcomer(attached, engine, **settings) == [2]


@pytest.mark.gen_test
async def test_idempotency(engine, attached):
    """Repeating a publish with its idempotency key does not change the last event of its key."""
    feed = await attached(engine, backlog_length=0)
    first = await engine.publish(feed, bodies(1), key="a", idempotency_key="k")
    await engine.publish(feed, bodies(2), key="a")
    assert await engine.publish(feed, bodies(1), key="a", idempotency_key="k") == first
    await feed.until(lambda: feed.newcomer == [2])
    with pytest.raises(Exception, match="idempotency key"):
        await engine.publish(feed, bodies(1), key="b", idempotency_key="k")

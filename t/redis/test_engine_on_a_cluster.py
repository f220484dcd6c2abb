"""On a cluster, no event is lost and each arrives once, even while slots move."""

import asyncio
from itertools import count

import pytest
from engine.feed import Feed, bodies

NAMES = [f"room{number}" for number in range(12)]


async def attach(engine, name):
    feed = Feed(name, {"buffer_length": 10_000})
    engine.open(feed)
    engine.attach(feed)
    await feed.until(lambda: feed.loads)
    return feed


@pytest.mark.gen_test
async def test_slots_move_while_events_flow(make_engine, redis_cluster):
    """Two processes publish to twelve channels and two listen, while every slot moves to another
    node and back. The events of every second channel have keys.
    """
    engines = [make_engine(redis_cluster.url) for _ in range(2)]
    feeds = {
        (n, name): await attach(engine, name) for n, engine in enumerate(engines) for name in NAMES
    }
    published = {name: [] for name in NAMES}
    numbers, stop = count(), asyncio.Event()

    async def publish(engine):
        while not stop.is_set():
            for name in NAMES:
                number = next(numbers)
                key = f"{number % 3}" if name in NAMES[::2] else None
                (id,) = await engine.publish(feeds[0, name], bodies(number), key=key)
                published[name].append((id, number))

    publishers = [asyncio.create_task(publish(engine)) for engine in engines]
    loop = asyncio.get_running_loop()
    for name in NAMES[:6]:
        key = f"{{{name}}}"
        source = redis_cluster.node_of(key)
        target = next(node for node in redis_cluster.nodes if node is not source)
        for node in (target, source):
            await loop.run_in_executor(None, redis_cluster.begin_move, key, node)
            await asyncio.sleep(0.02)
            await loop.run_in_executor(None, redis_cluster.move_keys, key, node)
            await asyncio.sleep(0.02)
            await loop.run_in_executor(None, redis_cluster.end_move, key, node)
            await asyncio.sleep(0.02)
    stop.set()
    await asyncio.gather(*publishers)

    for name in NAMES:
        assert len(published[name]) > 10
        # Sort the events by their ids.
        milliseconds = [(*map(int, id.split("-")), number) for id, number in published[name]]
        expected = [number for *_, number in sorted(milliseconds)]
        for n in range(len(engines)):
            await feeds[n, name].has(*expected)
            assert feeds[n, name].failures == []
        last = {number % 3: number for number in expected}
        late = await attach(make_engine(redis_cluster.url), name) if name == NAMES[0] else None
        assert late is None or late.newcomer[-3:] == sorted(last.values(), key=expected.index)


@pytest.mark.gen_test
async def test_a_named_key_and_a_history(make_engine, redis_cluster):
    """The scripts that use several keys work on a cluster."""
    engine = make_engine(redis_cluster.url)
    feed = await attach(engine, "a}b")
    first = await engine.publish(feed, bodies(1, 2), idempotency_key="k")
    assert await engine.publish(feed, bodies(1, 2), idempotency_key="k") == first
    other = Feed("a}b", {"backlog_length": 1})
    engines_other = make_engine(redis_cluster.url)
    engines_other.open(other)
    engines_other.attach(other)
    await other.has(2)
    assert [event.id for event in await engines_other.history(other, feed.floor, 10)] == first[:1]

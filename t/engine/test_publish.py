"""publish: the events of a call are published together, in order, with ids that increase."""

import asyncio
import gc

import pytest
from engine.feed import Feed, bodies

from tatsumaki_py.message_queue.ids import position


@pytest.mark.gen_test
async def test_ids(engine, attached):
    """The ids of events increase and differ. Publishing no events returns no ids."""
    feed = await attached(engine)
    ids = await engine.publish(feed, bodies(0, 1, 2))
    for n in range(3, 30):
        ids += await engine.publish(feed, bodies(n))
    assert len(set(ids)) == 30
    assert sorted(ids, key=position) == ids
    assert await engine.publish(feed, []) == []


@pytest.mark.gen_test
async def test_chain(engine, attached):
    """`prev` of an event is the id of the previous event, or the place where the log begins."""
    feed = await attached(engine)
    start = feed.top
    ids = await engine.publish(feed, bodies(1, 2)) + await engine.publish(feed, bodies(3))
    await feed.has(1, 2, 3)
    assert [event.id for event in feed.entries] == ids
    assert [event.prev for event in feed.entries] == [start, *ids[:-1]]
    assert {event.channel for event in feed.entries} == {"room"}
    assert feed.told in ([[1, 2], [3]], [[1, 2, 3]])


@pytest.mark.gen_test
async def test_order(engine, attached):
    """Concurrent publishes keep the order of the calls, and each gets the ids of its own events."""
    feed = await attached(engine)
    calls = [engine.publish(feed, bodies(n, n + 1)) for n in range(0, 60, 2)]
    ids = [id for answer in await asyncio.gather(*calls) for id in answer]
    await feed.has(*range(60))
    assert [event.id for event in feed.entries] == ids


@pytest.mark.gen_test
async def test_without_waiting(engine, attached):
    """An event is published even if no code awaits the answer."""
    feed = await attached(engine)
    for n in range(5):
        engine.publish(feed, bodies(n))
        gc.collect()
    await feed.has(*range(5))


@pytest.mark.gen_test
async def test_nobody_is_attached(engine):
    """Events that are published while no feed is attached are there when one is."""
    feed = Feed("room", {})
    engine.open(feed)
    ids = await engine.publish(feed, bodies(1, 2))
    engine.attach(feed)
    await feed.has(1, 2)
    assert feed.top == ids[-1]


@pytest.mark.gen_test
async def test_quiet(engine, attached):
    """`quiet` of an event is true if it was published with `quiet=True`."""
    feed = await attached(engine)
    await engine.publish(feed, bodies(1), quiet=True)
    await engine.publish(feed, bodies(2))
    await feed.has(1, 2)
    assert [event.quiet for event in feed.entries] == [True, False]


@pytest.mark.gen_test
async def test_channels(engine, attached):
    """A channel does not get the events of another channel."""
    a, b = await attached(engine, "a"), await attached(engine, "b")
    await engine.publish(a, bodies(1))
    await engine.publish(b, bodies(2))
    await a.has(1)
    await b.has(2)


@pytest.mark.gen_test
async def test_of_two_processes(engine, other, attached):
    """All processes see the same order, and the events of each process keep their order in it."""
    here, there = await attached(engine), await attached(other)
    calls = [engine.publish(here, bodies(n)) for n in range(20)]
    calls += [other.publish(there, bodies(n)) for n in range(100, 120)]
    await asyncio.gather(*calls)
    await here.until(lambda: len(here.log) == len(there.log) == 40)
    assert [event.id for event in here.entries] == [event.id for event in there.entries]
    assert [n for n in here.numbers if n < 100] == [*range(20)]
    assert [n for n in here.numbers if n >= 100] == [*range(100, 120)]

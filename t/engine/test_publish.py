"""publish: all or none, in order, with ids that increase."""

import asyncio
import gc

import pytest
from engine.feed import Feed, bodies

from tatsumaki_py.message_queue.ids import position


@pytest.mark.gen_test
async def test_ids(engine, attached):
    """They increase, and each is an id. Publishing nothing gives none."""
    feed = await attached(engine)
    ids = await engine.publish(feed, bodies(0, 1, 2))
    for n in range(3, 30):
        ids += await engine.publish(feed, bodies(n))
    assert len(set(ids)) == 30
    assert sorted(ids, key=position) == ids
    assert await engine.publish(feed, []) == []


@pytest.mark.gen_test
async def test_chain(engine, attached):
    """Each event has the id of the one before it; the first one, the place where the log begins."""
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
    """Many publishes at once: their order is that of the calls, and the ids are their own."""
    feed = await attached(engine)
    calls = [engine.publish(feed, bodies(n, n + 1)) for n in range(0, 60, 2)]
    ids = [id for answer in await asyncio.gather(*calls) for id in answer]
    await feed.has(*range(60))
    assert [event.id for event in feed.entries] == ids


@pytest.mark.gen_test
async def test_without_waiting(engine, attached):
    """An event is published, whether or not anybody waits for the answer."""
    feed = await attached(engine)
    for n in range(5):
        engine.publish(feed, bodies(n))
        gc.collect()
    await feed.has(*range(5))


@pytest.mark.gen_test
async def test_nobody_is_attached(engine):
    """Events are there for clients that come later."""
    feed = Feed("room", {})
    engine.open(feed)
    ids = await engine.publish(feed, bodies(1, 2))
    engine.attach(feed)
    await feed.has(1, 2)
    assert feed.top == ids[-1]


@pytest.mark.gen_test
async def test_quiet(engine, attached):
    """A quiet event says so."""
    feed = await attached(engine)
    await engine.publish(feed, bodies(1), quiet=True)
    await engine.publish(feed, bodies(2))
    await feed.has(1, 2)
    assert [event.quiet for event in feed.entries] == [True, False]


@pytest.mark.gen_test
async def test_channels(engine, attached):
    """One channel has nothing of another."""
    a, b = await attached(engine, "a"), await attached(engine, "b")
    await engine.publish(a, bodies(1))
    await engine.publish(b, bodies(2))
    await a.has(1)
    await b.has(2)


@pytest.mark.gen_test
async def test_of_two_processes(engine, other, attached):
    """All processes see the same order, and what each one publishes is in its own order."""
    here, there = await attached(engine), await attached(other)
    calls = [engine.publish(here, bodies(n)) for n in range(20)]
    calls += [other.publish(there, bodies(n)) for n in range(100, 120)]
    await asyncio.gather(*calls)
    await here.until(lambda: len(here.log) == len(there.log) == 40)
    assert [event.id for event in here.entries] == [event.id for event in there.entries]
    assert [n for n in here.numbers if n < 100] == [*range(20)]
    assert [n for n in here.numbers if n >= 100] == [*range(100, 120)]

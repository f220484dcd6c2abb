"""attach, detach, forget: an engine feeds a channel that is attached, and no event is missed."""

import asyncio

import pytest
from engine.feed import Feed, bodies, numbers


@pytest.mark.gen_test
async def test_empty(engine, attached):
    """A channel without events can also be loaded; its first place is not "0-0"."""
    feed, another = await attached(engine), await attached(engine, "another")
    assert feed.numbers == another.numbers == []
    assert feed.floor == feed.top != "0-0"
    assert another.top != "0-0"
    assert feed.failures == []


@pytest.mark.gen_test
async def test_comes_back(engine, attached):
    """An event that is published while the channel is detached is loaded later, without a gap."""
    feed = await attached(engine)
    (id,) = await engine.publish(feed, bodies(1))
    await feed.has(1)
    engine.detach(feed)
    await engine.publish(feed, bodies(2))
    engine.attach(feed)
    await engine.publish(feed, bodies(3))
    await feed.has(1, 2, 3)
    assert numbers(feed.log.since(id)) == [2, 3]


@pytest.mark.gen_test
async def test_while_events_come(engine):
    """A channel that is attached between publishes gets every event exactly once."""
    feed = Feed("room", {"backlog_length": 100})
    engine.open(feed)
    calls = [engine.publish(feed, bodies(n)) for n in range(20)]
    engine.attach(feed)
    for n in range(20, 40):
        calls.append(engine.publish(feed, bodies(n)))
        await asyncio.sleep(0)
    await asyncio.gather(*calls)
    await feed.has(*range(40))


@pytest.mark.gen_test
async def test_forget(engine, attached):
    """A forgotten feed gets no more events; a new feed of the same name starts at its newest id."""
    feed = await attached(engine)
    (id,) = await engine.publish(feed, bodies(1))
    await feed.has(1)
    engine.detach(feed)
    feed.log.clear()
    engine.forget(feed)
    again = await attached(engine)
    assert again.top == id
    await engine.publish(again, bodies(2))
    await again.until(lambda: again.numbers[-1:] == [2])
    assert feed.told == [[1]]


@pytest.mark.gen_test
async def test_without_a_loop(engine, attached):
    """detach, remember, forget and open raise nothing in a thread that has no event loop."""
    feed = await attached(engine)

    def outside():
        engine.detach(feed)
        engine.remember((feed.name,), "me", feed.top, 30.0)
        engine.forget(feed)
        engine.open(Feed("another", {}))

    await asyncio.to_thread(outside)

"""history: events that are no longer in the log come from the engine, or are lost."""

import pytest
from engine.feed import answer, bodies, numbers


@pytest.mark.gen_test
async def test_unknown(engine, attached):
    """`history` returns None for a cursor that was never the id of an event."""
    feed = await attached(engine)
    await engine.publish(feed, bodies(1))
    await feed.has(1)
    for cursor in ("1-1", "0-0"):
        assert await answer(engine.history(feed, cursor, 100)) is None


@pytest.mark.gen_test
async def test_older_than_the_log(engine, other, attached):
    """`history` returns the events after a cursor, up to the place where the log here begins."""
    there = await attached(other)
    ids = await other.publish(there, bodies(*range(10)))
    feed = await attached(engine, backlog_length=3)
    await feed.has(7, 8, 9)
    assert numbers(await engine.history(feed, ids[1], 5)) == [*range(2, 7)]
    assert numbers(await engine.history(feed, ids[5], 100)) == [6]
    events = await engine.history(feed, ids[1], 100)
    assert events[0].prev == ids[1]
    feed.log.prepend(events)
    assert feed.numbers == [*range(2, 10)]


@pytest.mark.gen_test
async def test_more_than_the_limit(engine, other, attached):
    """`history` returns None if the limit is too small for the events to reach the log here."""
    there = await attached(other)
    ids = await other.publish(there, bodies(*range(10)))
    feed = await attached(engine, backlog_length=3)
    assert await engine.history(feed, ids[1], 4) is None


@pytest.mark.gen_test
async def test_lost(engine, other, attached):
    """`history` returns None if events after the cursor are lost, and the events otherwise."""
    there = await attached(other, buffer_length=5, backlog_length=2)
    ids = await other.publish(there, bodies(*range(5)))
    await other.publish(there, bodies(*range(5, 10)))
    feed = await attached(engine, backlog_length=2)
    await feed.has(8, 9)
    assert await engine.history(feed, ids[0], 100) is None
    assert numbers(await engine.history(feed, ids[4], 100)) == [5, 6, 7]


@pytest.mark.gen_test
async def test_newer_than_the_log(engine, other, attached):
    """If the event of a cursor has not arrived here yet, it arrives before `history` answers."""
    here, there = await attached(engine), await attached(other)
    for n in range(5):
        (id,) = await other.publish(there, bodies(n))
        if here.top != id:
            await answer(engine.history(here, id, 100))
        assert here.top == id
    assert here.numbers == [*range(5)]

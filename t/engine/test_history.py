"""history: events that are not in the log are somewhere else, or lost."""

import pytest
from engine.feed import answer, bodies, numbers


@pytest.mark.gen_test
async def test_unknown(engine, attached):
    """A cursor that never was is lost."""
    feed = await attached(engine)
    await engine.publish(feed, bodies(1))
    await feed.has(1)
    for cursor in ("1-1", "0-0"):
        assert await answer(engine.history(feed, cursor, 100)) is None


@pytest.mark.gen_test
async def test_older_than_the_log(engine, other, attached):
    """The events from a cursor up to the place where the log begins here."""
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
    """None: some of them are of no use, if they do not end where the log begins."""
    there = await attached(other)
    ids = await other.publish(there, bodies(*range(10)))
    feed = await attached(engine, backlog_length=3)
    assert await engine.history(feed, ids[1], 4) is None


@pytest.mark.gen_test
async def test_lost(engine, other, attached):
    """None for a cursor before what is kept anywhere; what is kept is there."""
    there = await attached(other, buffer_length=5, backlog_length=2)
    ids = await other.publish(there, bodies(*range(5)))
    await other.publish(there, bodies(*range(5, 10)))
    feed = await attached(engine, backlog_length=2)
    await feed.has(8, 9)
    assert await engine.history(feed, ids[0], 100) is None
    assert numbers(await engine.history(feed, ids[4], 100)) == [5, 6, 7]


@pytest.mark.gen_test
async def test_newer_than_the_log(engine, other, attached):
    """A cursor of an event that is still on its way here: the events come before the answer."""
    here, there = await attached(engine), await attached(other)
    for n in range(5):
        (id,) = await other.publish(there, bodies(n))
        if here.top != id:
            await answer(engine.history(here, id, 100))
        assert here.top == id
    assert here.numbers == [*range(5)]

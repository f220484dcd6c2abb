"""An unknown client gets the newest events once."""

import pytest
from message_queue.fakes import Taker, events, numbers
from support.answers import until


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.gen_test
async def test_newest_thirty(queue):
    """By default, a new client gets the newest 30 events, oldest first, and then new events."""
    await queue.publish(*events(*range(45)))
    assert numbers(queue.backlog_events) == [*range(15, 45)]
    assert numbers(await queue.poll_once("me")) == [*range(15, 45)]
    await queue.publish({"n": 45})
    assert numbers(await queue.poll_once("me")) == [45]


@pytest.mark.gen_test
async def test_length_of_one_queue(make_queue):
    """`backlog_length` can be set on a queue; with 0, new clients get no backlog."""
    three, none = make_queue("three", backlog_length=3), make_queue("none", backlog_length=0)
    for queue in (three, none):
        await queue.publish(*events(*range(5)))
    assert numbers(await three.poll_once("me")) == [2, 3, 4]
    assert await none.poll_once("me", timeout=0) == []


@pytest.mark.gen_test
async def test_stream_begins_with_it(queue):
    """A stream gets the backlog in one call; if it is empty, the callback is not called."""
    taker = Taker()
    queue.poll("early", taker)
    assert taker.calls == []
    await queue.publish(*events(1, 2))
    late = Taker()
    queue.poll("late", late)
    await until(lambda: taker.calls == late.calls == [[1, 2]])


@pytest.mark.gen_test
async def test_more_than_newcomers_get(queue):
    """New clients do not get the older events that are kept for an absent client."""
    await queue.poll_once("away", timeout=0)
    await queue.publish(*events(*range(100)))
    assert numbers(await queue.poll_once("new")) == [*range(70, 100)]
    assert numbers(await queue.poll_once("away")) == [*range(100)]


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.gen_test
async def test_backlog_events_is_a_copy(queue):
    """Changing the list that `backlog_events` returns does not change the backlog."""
    await queue.publish({"n": 1})
    queue.backlog_events.clear()
    assert numbers(queue.backlog_events) == [1]

"""A client that nobody knows gets the newest events, once."""

import pytest
from message_queue.fakes import Taker, events, numbers
from support.answers import until


@pytest.mark.engines("memory", "distant")  # it looks right after a poll, and at `cursor`
@pytest.mark.gen_test
async def test_newest_thirty(queue):
    """By default 30, oldest first; then what is new."""
    await queue.publish(*events(*range(45)))
    assert numbers(queue.backlog_events) == [*range(15, 45)]
    assert numbers(await queue.poll_once("me")) == [*range(15, 45)]
    await queue.publish({"n": 45})
    assert numbers(await queue.poll_once("me")) == [45]


@pytest.mark.gen_test
async def test_length_of_one_queue(make_queue):
    """A queue may have its own length; 0 is none."""
    three, none = make_queue("three", backlog_length=3), make_queue("none", backlog_length=0)
    for queue in (three, none):
        await queue.publish(*events(*range(5)))
    assert numbers(await three.poll_once("me")) == [2, 3, 4]
    assert await none.poll_once("me", timeout=0) == []


@pytest.mark.gen_test
async def test_stream_begins_with_it(queue):
    """A stream gets it at once, in one call; an empty one is no call."""
    taker = Taker()
    queue.poll("early", taker)
    assert taker.calls == []
    await queue.publish(*events(1, 2))
    late = Taker()
    queue.poll("late", late)
    await until(lambda: taker.calls == late.calls == [[1, 2]])


@pytest.mark.gen_test
async def test_more_than_newcomers_get(queue):
    """What is kept for a client that is away is not given to newcomers."""
    await queue.poll_once("away", timeout=0)
    await queue.publish(*events(*range(100)))
    assert numbers(await queue.poll_once("new")) == [*range(70, 100)]
    assert numbers(await queue.poll_once("away")) == [*range(100)]


@pytest.mark.engines("memory", "distant")  # it looks right after a poll, and at `cursor`
@pytest.mark.gen_test
async def test_backlog_events_is_a_copy(queue):
    """The list is the caller's."""
    await queue.publish({"n": 1})
    queue.backlog_events.clear()
    assert numbers(queue.backlog_events) == [1]

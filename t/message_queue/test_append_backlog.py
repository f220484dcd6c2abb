"""append_backlog: in the log, but nobody is called."""

import pytest
from message_queue.fakes import Taker, events, numbers
from support.answers import until


@pytest.mark.gen_test
async def test_comes_with_the_next_event(queue):
    """Who listens gets it before the next event, in one call."""
    once, stream = Taker(), Taker()
    queue.poll_once("once", once)
    queue.poll("stream", stream)
    queue.append_backlog(*events(1, 2))
    assert once.calls == stream.calls == []
    await queue.publish({"n": 3})
    await until(lambda: once.calls == stream.calls == [[1, 2, 3]])


@pytest.mark.gen_test
async def test_comes_with_the_next_poll(queue):
    """Newcomers, and those who come back, get it at once."""
    await queue.poll_once("back", timeout=0)
    queue.append_backlog({"n": 1})
    assert numbers(queue.backlog_events) == [1]
    assert numbers(await queue.poll_once("back")) == numbers(await queue.poll_once("new")) == [1]


@pytest.mark.gen_test
async def test_after_a_time_out(queue, clock):
    """A long poll that ends without events has not lost them."""
    taker = Taker()
    queue.poll_once("me", taker, 10)
    queue.append_backlog({"n": 1})
    await clock.advance(11)
    assert taker.calls == [[]]
    assert numbers(await queue.poll_once("me")) == [1]


@pytest.mark.gen_test
async def test_more_than_the_backlog(make_queue):
    """What is still to be told to who listens is kept, however short the backlog is."""
    queue = make_queue(backlog_length=2)
    once, stream = Taker(), Taker()
    queue.poll_once("once", once)
    queue.poll("stream", stream)
    queue.append_backlog(*events(*range(10)))
    await queue.publish({"n": 10})
    await until(lambda: once.calls == stream.calls == [[*range(11)]])


@pytest.mark.gen_test
async def test_newcomer_in_between(queue):
    """Somebody who comes between the append and the next event gets each event once."""
    old, new = Taker(), Taker()
    queue.poll("old", old)
    queue.append_backlog({"n": 1})
    queue.poll("new", new)
    await queue.publish({"n": 2})
    await until(lambda: (old.calls, new.calls) == ([[1, 2]], [[1], [2]]))


@pytest.mark.gen_test
async def test_bounded(make_queue):
    """It is bounded as everything is, with and without anybody who listens."""
    queue = make_queue(backlog_length=2, buffer_length=5)
    queue.append_backlog(*events(*range(10)))
    assert numbers(queue.backlog_events) == [8, 9]
    taker = Taker()
    queue.poll("me", taker, last_event_id=queue.cursor())
    queue.append_backlog(*events(*range(10, 20)))
    await queue.publish({"n": 20})
    await until(lambda: taker.calls == [["gap", 15, 16, 17, 18, 19, 20]])

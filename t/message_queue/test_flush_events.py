"""flush_events sends events to one connected client; they are not kept."""

import pytest
from message_queue.fakes import Taker, events, numbers
from support.answers import until


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.gen_test
async def test_one_client(queue):
    """Only the named client gets the events, and its place in the log does not change."""
    takers = {name: Taker() for name in ("stream", "once", "other")}
    queue.poll("stream", takers["stream"])
    queue.poll_once("once", takers["once"])
    queue.poll("other", takers["other"])
    assert queue.flush_events("stream", *events(1, 2)) is True
    assert queue.flush_events("once", {"n": 3}) is True
    assert queue.backlog_events == []
    await queue.publish({"n": 4})
    await until(lambda: takers["stream"].calls == [[1, 2], [4]])
    await until(lambda: takers["other"].calls == [[4]])
    assert takers["once"].calls == [[3]]
    assert numbers(await queue.poll_once("once")) == [4]


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.gen_test
async def test_none_answers_a_long_poll(queue):
    """`flush_events` without events answers a long poll with no events."""
    taker = Taker()
    queue.poll_once("me", taker)
    assert queue.flush_events("me") is True
    assert taker.calls == [[]]


@pytest.mark.gen_test
async def test_nobody_there(queue):
    """`flush_events` returns False for an absent or unknown client, and keeps nothing for it."""
    await queue.poll_once("away", timeout=0)
    assert queue.flush_events("away", {"n": 1}) is False
    assert queue.flush_events("nobody", {"n": 1}) is False
    assert await queue.poll_once("away", timeout=0) == []


@pytest.mark.gen_test
async def test_id_is_the_place_in_the_log(queue):
    """A flushed event has the id of the client's cursor; resuming from it misses nothing."""
    stream = []
    queue.poll("me", lambda *events: stream.extend(events))
    ids = await queue.publish({"n": 1})
    queue.flush_events("me", {"n": 2})
    assert stream[-1].id == ids[0]
    await queue.publish({"n": 3})
    assert numbers(await queue.poll_once("x", last_event_id=stream[1].id)) == [3]


@pytest.mark.gen_test
async def test_many_at_once(queue):
    """All events of a call are delivered together, even if they are large."""
    taker, long_poll = Taker(), Taker()
    queue.poll("stream", taker)
    queue.poll_once("once", long_poll)
    large = [{"n": n, "text": "x" * 700_000} for n in range(3)]
    await until(lambda: queue.flush_events("stream", *large))
    await until(lambda: queue.flush_events("once", *large))
    assert taker.seen == long_poll.seen == [0, 1, 2]

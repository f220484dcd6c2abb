"""flush_events: to one client, now, and kept for nobody."""

import pytest
from message_queue.fakes import Taker, events, numbers
from support.answers import until


@pytest.mark.engines("memory", "distant")  # it looks right after a poll, and at `cursor`
@pytest.mark.gen_test
async def test_one_client(queue):
    """Only that client gets them; its place in the log does not change."""
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


@pytest.mark.engines("memory", "distant")  # it looks right after a poll, and at `cursor`
@pytest.mark.gen_test
async def test_none_answers_a_long_poll(queue):
    """Without events a long poll is answered with none."""
    taker = Taker()
    queue.poll_once("me", taker)
    assert queue.flush_events("me") is True
    assert taker.calls == [[]]


@pytest.mark.gen_test
async def test_nobody_there(queue):
    """False for who is not known, or away; nothing is kept for it."""
    await queue.poll_once("away", timeout=0)
    assert queue.flush_events("away", {"n": 1}) is False
    assert queue.flush_events("nobody", {"n": 1}) is False
    assert await queue.poll_once("away", timeout=0) == []


@pytest.mark.gen_test
async def test_id_is_the_place_in_the_log(queue):
    """Its id is the cursor that the client has: who goes on from it misses nothing."""
    stream = []
    queue.poll("me", lambda *events: stream.extend(events))
    ids = await queue.publish({"n": 1})
    queue.flush_events("me", {"n": 2})
    assert stream[-1].id == ids[0]
    await queue.publish({"n": 3})
    assert numbers(await queue.poll_once("x", last_event_id=stream[1].id)) == [3]


@pytest.mark.gen_test
async def test_many_at_once(queue):
    """None of them is left out because they are large: they could not be read from the log."""
    taker, long_poll = Taker(), Taker()
    queue.poll("stream", taker)
    queue.poll_once("once", long_poll)
    large = [{"n": n, "text": "x" * 700_000} for n in range(3)]
    await until(lambda: queue.flush_events("stream", *large))
    await until(lambda: queue.flush_events("once", *large))
    assert taker.seen == long_poll.seen == [0, 1, 2]

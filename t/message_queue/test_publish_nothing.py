"""publish() without events answers waiting long polls and publishes no event."""

import pytest
from message_queue.fakes import Taker, numbers
from support.answers import until


@pytest.mark.gen_test
async def test_who_waits_is_answered(queue):
    """Long polls and streams are called without events, and nothing is kept."""
    once, stream = Taker(), Taker()
    queue.poll_once("once", once)
    queue.poll("stream", stream)
    await queue.poll_once("away", timeout=0)
    assert await queue.publish() == []
    await until(lambda: once.calls == stream.calls == [[]])
    assert queue.backlog_events == []
    assert await queue.poll_once("away", timeout=0) == []
    await queue.publish({"n": 1})
    await until(lambda: stream.calls == [[], [1]])
    assert numbers(await queue.poll_once("once")) == [1]


@pytest.mark.gen_test
async def test_no_channel_comes_of_it(queue):
    """An empty publish does not make a channel active."""
    await queue.publish()
    assert queue.channel not in type(queue)._registry.active


@pytest.mark.gen_test
async def test_who_left_meanwhile(queue):
    """A client that leaves during the calls, before its turn, is not called."""
    last, polls = Taker(), []
    queue.poll_once("first", lambda *events: polls.pop().cancel())
    polls.append(queue.poll_once("last", last))
    await queue.publish()
    assert last.calls == []
    assert numbers(queue.backlog_events) == []

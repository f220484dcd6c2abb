"""Publish calls those who wait before it returns; who is new gets the backlog."""

import pytest

from tatsumaki_py import MessageQueue


@pytest.fixture
def mq():
    return MessageQueue.instance("basic")


@pytest.mark.gen_test
async def test_publish_is_synchronous(mq):
    """When publish returns, long polls and streams have been called, with everything at once."""
    polled, streamed = [], []
    mq.poll_once("poll", lambda *events: polled.append(events))
    mq.poll("stream", lambda *events: streamed.append(events))
    mq.publish({"n": 1}, {"n": 2})
    assert polled == streamed == [({"n": 1}, {"n": 2})]
    mq.publish({"n": 3})
    assert polled == [({"n": 1}, {"n": 2})]
    assert streamed == [({"n": 1}, {"n": 2}), ({"n": 3},)]


@pytest.mark.gen_test
async def test_poll_is_synchronous(mq):
    """A poll that has something to deliver delivers it before it returns."""
    mq.publish({"n": 1})
    for poll in (mq.poll, mq.poll_once):
        got = []
        poll(f"{poll}", got.append)
        assert got == [{"n": 1}]


@pytest.mark.gen_test
async def test_backlog_for_newcomers(mq):
    """A client id that is not known gets the backlog once; from then on what is new."""
    mq.publish({"n": 1})
    mq.publish({"n": 2})
    for client in ("one", "two"):
        assert await mq.poll_once(client) == [{"n": 1}, {"n": 2}]
    mq.publish({"n": 3})
    for client in ("one", "two"):
        assert await mq.poll_once(client) == [{"n": 3}]


def test_instance():
    """One queue for each name."""
    one = MessageQueue.instance("one")
    assert MessageQueue.instance("one") is one
    assert MessageQueue.instance("two") is not one
    assert one in MessageQueue.channels()


@pytest.mark.gen_test
async def test_publish_may_be_awaited(mq):
    """The ids, at once: nothing has to be waited for, and nothing warns if nobody does."""
    awaitable = mq.publish({"n": 1}, {"n": 2})
    with pytest.raises(StopIteration) as stop:
        next(awaitable.__await__())
    assert stop.value.value == [event.id for event in mq.backlog_events]

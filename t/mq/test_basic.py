"""`publish` calls the waiting callbacks before it returns; a new client gets the backlog."""

import pytest

from tatsumaki_py import MessageQueue


@pytest.fixture
def mq():
    return MessageQueue.instance("basic")


@pytest.mark.gen_test
async def test_publish_is_synchronous(mq):
    """When `publish` returns, each callback has been called once with all events of the call."""
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
    """If there are events for a poll, the poll delivers them before it returns."""
    mq.publish({"n": 1})
    for poll in (mq.poll, mq.poll_once):
        got = []
        poll(f"{poll}", got.append)
        assert got == [{"n": 1}]


@pytest.mark.gen_test
async def test_backlog_for_newcomers(mq):
    """A client with an unknown id gets the backlog once, and only new events after that."""
    mq.publish({"n": 1})
    mq.publish({"n": 2})
    for client in ("one", "two"):
        assert await mq.poll_once(client) == [{"n": 1}, {"n": 2}]
    mq.publish({"n": 3})
    for client in ("one", "two"):
        assert await mq.poll_once(client) == [{"n": 3}]


def test_instance():
    """`instance` returns the same queue for the same name, and `channels` lists it."""
    one = MessageQueue.instance("one")
    assert MessageQueue.instance("one") is one
    assert MessageQueue.instance("two") is not one
    assert one in MessageQueue.channels()


@pytest.mark.gen_test
async def test_publish_may_be_awaited(mq):
    """Awaiting `publish` returns the ids of the events immediately, without suspending."""
    awaitable = mq.publish({"n": 1}, {"n": 2})
    with pytest.raises(StopIteration) as stop:
        next(awaitable.__await__())
    assert stop.value.value == [event.id for event in mq.backlog_events]

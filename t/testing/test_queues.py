"""`FreshQueues` leaves nothing of a test's queues behind."""

import contextlib

import pytest

from tatsumaki_py import MessageQueue
from tatsumaki_py.testing import FreshQueues


class News(MessageQueue):
    backlog_length = 3


def test_channels():
    """Events, clients and settings of channels are forgotten before and after a test."""
    MessageQueue.instance("room").publish("before")
    with FreshQueues():
        held = MessageQueue.instance("room")
        assert held.backlog_events == []
        held.publish("within")
        held.buffer_length = 5
        MessageQueue.instance("a", "b")
    assert MessageQueue.channels() == []
    assert MessageQueue.instance("room") is not held
    assert MessageQueue.instance("room").buffer_length == MessageQueue.buffer_length


@pytest.mark.gen_test
async def test_queues_of_the_program(tmp_path):
    """A queue that a module holds keeps its name, class and settings across tests."""
    held, both = News.instance("held"), MessageQueue.instance("held", "other")
    held.backlog_length = 2
    for engine in (None, f"sqlite:{tmp_path}/events.db", None):
        async with FreshQueues(engine):
            assert MessageQueue.instance("held") is held
            assert MessageQueue.instance("other", "held") is both
            assert (held.backlog_events, held.backlog_length) == ([], 2)
            await held.ready()
            held.backlog_length = 1
            held.recovery_time = 0
            poll = both.poll_once("ann")
            await held.publish("one")
            assert await poll == ["one"]
            assert await held.poll_once("bob") == ["one"]
        assert (held.backlog_events, held.backlog_length, held.recovery_time) == ([], 2, 30)
        assert MessageQueue.instance("held") is held


def test_settings():
    """The settings of the class and of its subclasses are restored, even after an error."""
    with contextlib.suppress(ZeroDivisionError), FreshQueues():
        MessageQueue.backlog_length = 7
        MessageQueue.time_to_live = 1
        News.backlog_length = 8
        News.recovery_time = 9
        raise ZeroDivisionError
    assert (MessageQueue.backlog_length, MessageQueue.time_to_live) == (30, None)
    assert (News.backlog_length, News.recovery_time) == (3, 30)
    assert "recovery_time" not in vars(News)


@pytest.mark.gen_test
async def test_an_engine(tmp_path):
    """The engine is configured, and closed at the end, so that its file is free."""
    url = f"sqlite:{tmp_path}/events.db"
    for expected in ([], ["hello"]):
        async with FreshQueues(url, synchronous="normal"):
            queue = MessageQueue.instance("room")
            await queue.ready()
            assert queue.backlog_events == expected
            await queue.publish("hello")
    assert MessageQueue.instance("room").backlog_events == []


def test_an_engine_needs_a_loop():
    """With an engine, a plain `with` raises an exception, as it could not close the engine."""
    with pytest.raises(RuntimeError, match="use `async with FreshQueues"), FreshQueues("memory:"):
        pass

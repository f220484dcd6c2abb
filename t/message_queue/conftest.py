"""Fixtures of the queue's tests.

What takes `queue` or `make_queue` is the contract of every engine: it waits for what it published
and for what is delivered. What is true of the engine in memory alone says so.
"""

import pytest

from tatsumaki_py import MessageQueue


@pytest.fixture(params=["memory"])
def engine(request):
    """The name of the engine that the queues of this test use."""
    return request.param


@pytest.fixture
def make_queue(engine, monkeypatch):
    """`queue = make_queue("room", backlog_length=3)` gives a queue with settings of its own."""

    def make(channel="room", **settings):
        queue = MessageQueue.instance(channel)
        for name, value in settings.items():
            # Log records with a traceback may hold the queue of a test until the next one.
            monkeypatch.setattr(queue, name, value)
        return queue

    return make


@pytest.fixture
def queue(make_queue):
    """The queue of a channel that nobody used before."""
    return make_queue()

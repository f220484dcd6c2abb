"""Connections of the tests to a real Redis."""

import pytest
from engine.feed import Feed

from tatsumaki_py.message_queue.engine.choose import choose
from tatsumaki_py.message_queue.engine.redis.connect import Connections
from tatsumaki_py.message_queue.engine.redis.options import parse


@pytest.fixture
def connect(io_loop):
    """`connections = connect(url, option=value)`. They are closed after the test."""
    opened = []

    def make(url, **options):
        opened.append(Connections(parse(url, options)))
        return opened[-1]

    yield make
    for one in opened:
        io_loop.run_sync(one.close)


@pytest.fixture
def make_engine(io_loop):
    """`engine = make_engine(url, option=value)`, as a process has one. It is closed later."""
    made = []

    def make(url, **options):
        made.append(choose(url, options).make())
        return made[-1]

    yield make
    for one in made:
        io_loop.run_sync(one.close)


@pytest.fixture
def attached():
    """`feed = await attached(engine, "room", backlog_length=5)`: a channel that is loaded, and that
    Redis has confirmed to be subscribed.
    """

    async def attach(engine, name="room", **settings):
        feed = Feed(name, settings)
        engine.attach(feed)
        await feed.until(lambda: feed.loads)
        channel = engine.session().feeding.channels[name]
        await feed.until(lambda: channel.subscribed and not channel.asking)
        return feed

    return attach

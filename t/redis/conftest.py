"""Fixtures with connections to a real Redis."""

import pytest
from engine.feed import Feed

from tatsumaki_py.message_queue.engine.choose import choose
from tatsumaki_py.message_queue.engine.redis.connect import Connections
from tatsumaki_py.message_queue.engine.redis.options import parse


@pytest.fixture
def connect(io_loop):
    """`connections = connect(url, option=value)` returns connections that are closed after the
    test.
    """
    opened = []

    def make(url, **options):
        opened.append(Connections(parse(url, options)))
        return opened[-1]

    yield make
    for one in opened:
        io_loop.run_sync(one.close)


@pytest.fixture
def make_engine(io_loop):
    """`engine = make_engine(url, option=value)` returns an engine, as in a separate process, that
    is closed after the test.
    """
    made = []

    def make(url, **options):
        made.append(choose(url, options).make())
        return made[-1]

    yield make
    for one in made:
        io_loop.run_sync(one.close)


@pytest.fixture
def attached():
    """`feed = await attached(engine, "room", backlog_length=5)` returns a loaded channel whose
    subscription Redis has confirmed.
    """

    async def attach(engine, name="room", **settings):
        feed = Feed(name, settings)
        engine.attach(feed)
        await feed.until(lambda: feed.loads)
        channel = engine.session().feeding.channels[name]
        await feed.until(lambda: channel.subscribed and not channel.asking)
        return feed

    return attach

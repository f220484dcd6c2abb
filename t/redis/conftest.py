"""Connections of the tests to a real Redis."""

import pytest

from tatsumaki_py.message_queue.engine.redis.connect import Connections
from tatsumaki_py.message_queue.engine.redis.engine import RedisEngine
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
    """`engine = make_engine(url, option=value)`, closed after the test."""
    engines = []

    def make(url, **options):
        engines.append(RedisEngine(parse(url, options)))
        return engines[-1]

    yield make
    for engine in engines:
        io_loop.run_sync(engine.close)

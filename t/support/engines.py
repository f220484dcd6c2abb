"""Queues of a test that use an engine other than the in-memory engine."""

import pytest
from support.settled import Settled

from tatsumaki_py import MessageQueue
from tatsumaki_py.message_queue.engine.choose import choose

REAL = ("redis", "sqlite")
"""Engines that keep events outside the process. Their clocks cannot be advanced."""


def real_engine(request, name):
    """An empty engine of the kind `name`, one of `REAL`."""
    url = f"sqlite:{request.getfixturevalue('tmp_path')}/events.db"
    if name == "redis":
        url = request.getfixturevalue("redis_server").url
    return Settled(choose(url, {}).make())


def using(request, engine):
    """The body of a fixture that makes the queues of the test use `engine`."""
    loop = None
    if "io_loop" in request.fixturenames:
        loop = request.getfixturevalue("io_loop")
    MessageQueue.configure(engine)
    yield
    if loop is not None:
        loop.run_sync(lambda: _end(engine))


async def _end(engine):
    MessageQueue.reset()
    await engine.close()


@pytest.fixture
def engine(request):
    """The name of the engine that the queues of this test use."""
    name = getattr(request, "param", "memory")
    if name == "memory":
        yield name
        return
    for _ in using(request, real_engine(request, name)):
        yield name

"""Fixtures for the tests of the queue.

A test that uses `queue` or `make_queue` is part of the contract of every engine: it waits until its
events are published and delivered. A test that applies only to some engines is marked with their
names:

- "memory": `publish` calls the listeners before it returns.
- "distant": events are kept outside the process, and a channel is loaded when it is first used.
- "late": logs are loaded, and named clients are found, some time after the request.
- "redis", "sqlite": real engines. A test that advances the clock leaves them out unless its mark
  names them.
"""

import pytest
from support.delayed import Delayed
from support.engines import REAL, real_engine, using

from tatsumaki_py import MessageQueue

# The behavior in these tests depends on the engine. Other tests do not run with real engines.
OF_REAL_ENGINES = {
    "test_anonymous",
    "test_append_backlog",
    "test_await",
    "test_clients",
    "test_disconnect",
    "test_event_ids",
    "test_flush_events",
    "test_gap",
    "test_idempotency",
    "test_keys",
    "test_last_event_id",
    "test_lost_connection",
    "test_loops",
    "test_merged",
    "test_order",
    "test_publish_in_threads",
    "test_recovery",
    "test_reentrancy",
    "test_resume",
    "test_supersede",
    "test_timeout",
    "test_two_channels",
}
OF_ONE_PROCESS = {"test_subscribers"}
"""With several processes, hooks are called after the others have been asked: see
`test_other_processes`.
"""


def pytest_generate_tests(metafunc):
    if "engine" in metafunc.fixturenames:
        mark = metafunc.definition.get_closest_marker("engines")
        if mark is not None:
            names = mark.args
        elif "clock" in metafunc.fixturenames:
            names = ("memory", "distant", "late")
        elif metafunc.module.__name__.rpartition(".")[2] in OF_REAL_ENGINES:
            names = ("memory", "distant", "late", *REAL)
        elif metafunc.module.__name__.rpartition(".")[2] in OF_ONE_PROCESS:
            names = ("memory", "distant", "late", "sqlite")
        else:
            names = ("memory", "distant", "late")
        metafunc.parametrize("engine", names, indirect=True)


@pytest.fixture
def engine(request):
    """The name of the engine that the queues of this test use."""
    name = request.param
    if name == "memory":
        yield name
        return
    if name in REAL:
        engine = real_engine(request, name)
    else:
        engine = Delayed(late=name == "late", settled=True)
    for _ in using(request, engine):
        yield name


@pytest.fixture
def make_queue(engine, monkeypatch):
    """`queue = make_queue("room", backlog_length=3)` returns a queue with its own settings."""

    def make(channel="room", **settings):
        queue = MessageQueue.instance(channel)
        for name, value in settings.items():
            # Log records with a traceback may hold the queue of a test until the next test.
            monkeypatch.setattr(queue, name, value)
        return queue

    return make


@pytest.fixture
def queue(make_queue):
    """The queue of a channel that was not used before."""
    return make_queue()

"""The contract of every engine.

To run these tests against your own engine, copy this folder and replace the fixture `make_engine`
in this file. The fixture returns a function. Each call of the function makes a new engine, as a new
process would. All engines that it makes in one test share the data outside the process, and none
sees data of an earlier test. The fixture is parametrized below with the names of engines. Tests
that use `other` run only with the engines whose data several processes can share.
"""

import asyncio

import pytest
from engine.feed import Feed
from support.delayed import Delayed, Store

from tatsumaki_py.message_queue.engine.choose import choose
from tatsumaki_py.message_queue.engine.memory import MemoryEngine
from tatsumaki_py.message_queue.engine.redis.presence import lives

SHARED = ["late", "redis", "cluster"]
STANDINS = ["memory", "distant", "late"]


def pytest_generate_tests(metafunc):
    """Run each test with each engine that it applies to."""
    if "make_engine" in metafunc.fixturenames:
        several = "other" in metafunc.fixturenames
        engines = SHARED if several else ["memory", "distant", "sqlite", *SHARED]
        metafunc.parametrize("make_engine", engines, indirect=True)


@pytest.fixture
def make_engine(request):
    """`engine = make_engine()` makes an engine; see the top of this file."""
    if request.param in ("redis", "cluster"):
        patch = request.getfixturevalue("monkeypatch")
        patch.setattr(lives, "BEAT_INTERVAL", 0.03)
        patch.setattr(lives, "LIFE", 0.3)
        server = "redis_server" if request.param == "redis" else "redis_cluster"
        url = request.getfixturevalue(server).url
        return choose(url, {"command_timeout": 2, "linger": 0.02}).make
    if request.param == "sqlite":
        return choose(f"sqlite:{request.getfixturevalue('tmp_path')}/events.db", {}).make
    store = Store()

    def make():
        if request.param == "memory":
            return MemoryEngine()
        late = request.param == "late"
        return Delayed(store, late=late, seed=len(store.processes), together=late)

    return make


@pytest.fixture
def passing(make_engine, clock, request):
    """`await passing(50)` lets 50 percent of `passing.life` pass, on the clock that the engine
    uses.
    """
    return Passing(clock if request.node.callspec.params["make_engine"] in STANDINS else None)


class Passing:
    """Advances the loop's clock if the engine uses it; otherwise waits in real time."""

    def __init__(self, clock):
        self._clock = clock
        self.life = 60.0 if clock else 0.4

    async def __call__(self, percent):
        seconds = self.life * percent / 100
        await (asyncio.sleep(seconds) if self._clock is None else self._clock.advance(seconds))


@pytest.fixture
def engine(make_engine, io_loop):
    """The engine of this process."""
    engine = make_engine()
    yield engine
    io_loop.run_sync(engine.close)


@pytest.fixture
def other(make_engine, io_loop):
    """The engine of another process."""
    engine = make_engine()
    yield engine
    io_loop.run_sync(engine.close)


@pytest.fixture
def attached():
    """`feed = await attached(engine, "room", buffer_length=5)` returns a loaded channel."""

    async def attach(engine, name="room", **settings):
        feed = Feed(name, settings)
        engine.open(feed)
        engine.attach(feed)
        await feed.until(lambda: feed.loads)
        return feed

    return attach

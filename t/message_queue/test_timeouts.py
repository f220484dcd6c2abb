"""`Timeouts`: the shared timers of long polls."""

import asyncio
import gc
import sys
import time
import weakref

import pytest
from message_queue.fakes import Taker

from tatsumaki_py.message_queue.timeouts import SHORT, TICK, TURN, Timeouts


class Limited:
    due = None

    def __init__(self, calls, does=None):
        self._calls = calls
        self._does = does

    def timed_out(self):
        self._calls.append(self)
        if self._does is not None:
            self._does()


@pytest.mark.gen_test
async def test_one_timer_for_many(clock, monkeypatch):
    """Timeouts of the same tick share one timer, and none of them fires early."""
    loop = asyncio.get_running_loop()
    timers, call_at = [], loop.call_at
    monkeypatch.setattr(
        loop, "call_at", lambda *args, **kwargs: timers.append(1) or call_at(*args, **kwargs)
    )
    now = loop.time()
    monkeypatch.setattr(loop, "time", lambda: now)
    calls = []
    for _ in range(100):
        Timeouts.add(Limited(calls), 10)
    monkeypatch.undo()
    assert len(timers) == 1
    await clock.advance(9.9)
    assert calls == []
    await clock.advance(0.1 + TICK)
    assert len(calls) == 100


@pytest.mark.gen_test
async def test_left_before(clock):
    """An object that was removed from its bucket is neither called nor kept alive."""
    calls = []
    limited = Limited(calls)
    Timeouts.add(limited, 10)
    del limited.due[limited]
    gone = weakref.ref(limited)
    del limited
    gc.collect()
    assert gone() is None
    await clock.advance(11)
    assert calls == []


@pytest.mark.gen_test
async def test_one_fails(clock, expect_log):
    """If one timeout raises an exception, the others are still called."""
    calls = []

    def fail():
        raise ValueError("no")

    Timeouts.add(Limited(calls, fail), 10)
    Timeouts.add(Limited(calls), 10)
    with expect_log("tatsumaki", "a timeout could not be handled"):
        await clock.advance(11)
    assert len(calls) == 2


@pytest.mark.gen_test
async def test_short(queue, clock):
    """A short timeout has its own timer, and is exact."""
    taker = Taker()
    queue.poll_once("me", taker, SHORT / 2)
    await clock.advance(SHORT / 2 + 0.001)
    assert taker.calls == [[]]


@pytest.mark.gen_test
async def test_for_ever(queue):
    """A timeout can be any number of seconds, even infinite."""
    for seconds in (sys.float_info.max, float("inf"), 10**20):
        queue.poll_once("me", Taker(), seconds)
        assert queue.clients["me"].listener is not None


@pytest.mark.gen_test
async def test_turns(clock):
    """If many timeouts are due together, the loop can do other work in between."""
    calls, others = [], []

    def work():
        time.sleep(TURN)
        asyncio.get_running_loop().call_soon(lambda: others.append(len(calls)))

    for _ in range(3):
        Timeouts.add(Limited(calls, work), 10)
    await clock.advance(11)
    while len(others) < 3:
        await asyncio.sleep(0)
    assert others == [1, 2, 3]


def test_loop_that_ends():
    """The timeouts of a loop that ended are freed, and the next loop has its own timers."""

    async def add(calls, seconds):
        limited = Limited(calls)
        Timeouts.add(limited, seconds)
        await asyncio.sleep(2 * TICK + seconds if seconds < 1 else 0)
        return weakref.ref(limited)

    calls = []
    left = asyncio.run(add(calls, 1000))
    gc.collect()
    assert left() is None
    asyncio.run(add(calls, 0))
    assert len(calls) == 1

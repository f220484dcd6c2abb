"""The clock fixture moves the loop's time, and nothing else's."""

import asyncio
import time

import pytest


@pytest.mark.gen_test
async def test_advance_runs_due_timers(clock):
    """Timers run once their time has come, in order, and not before."""
    loop, ran = asyncio.get_running_loop(), []
    loop.call_later(55, ran.append, "late")
    loop.call_later(30, ran.append, "early")
    await clock.advance(29)
    assert ran == []
    await clock.advance(2)
    assert ran == ["early"]
    await clock.advance(25)
    assert ran == ["early", "late"]


@pytest.mark.gen_test(timeout=5)
async def test_advance_wakes_tasks(clock):
    """A task that sleeps goes on, the test's own time-out does not come."""
    task = asyncio.ensure_future(asyncio.sleep(3600, "woken"))
    await asyncio.sleep(0)
    await clock.advance(3600)
    assert task.done()
    assert task.result() == "woken"


@pytest.mark.gen_test
async def test_tornado_timers_follow(clock, io_loop):
    """Timers set through the IOLoop obey the same clock."""
    ran = []
    io_loop.call_later(10, ran.append, 1)
    await clock.advance(10.1)
    assert ran == [1]


@pytest.mark.gen_test
async def test_real_time_goes_on(clock):
    """The process's clocks stay where they are, and the loop's goes on by itself."""
    wall, loop = time.time(), asyncio.get_running_loop().time()
    await clock.advance(1000)
    assert time.time() - wall < 500
    assert asyncio.get_running_loop().time() - loop >= 1000
    await asyncio.sleep(0.01)
    assert asyncio.get_running_loop().time() - loop >= 1000.01

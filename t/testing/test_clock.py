"""The clock advances only the loop's time."""

import asyncio
import time
import traceback

import pytest
import uvloop
from tornado.ioloop import IOLoop
from tornado.testing import AsyncTestCase, gen_test

from tatsumaki_py.testing import Clock


@pytest.mark.gen_test
async def test_advance_runs_due_timers(clock):
    """Timers run in order when their time has come, and not before."""
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
    """A task that sleeps continues, and the test's own timeout does not expire."""
    task = asyncio.ensure_future(asyncio.sleep(3600, "woken"))
    await asyncio.sleep(0)
    await clock.advance(3600)
    assert task.done()
    assert task.result() == "woken"


@pytest.mark.gen_test
async def test_tornado_timers_follow(clock, io_loop):
    """Timers that are set through the IOLoop use the same clock."""
    ran = []
    io_loop.call_later(10, ran.append, 1)
    await clock.advance(10.1)
    assert ran == [1]


@pytest.mark.gen_test
async def test_real_time_goes_on(clock):
    """The clocks of the process do not change, and the loop's clock also runs without the test."""
    wall, loop = time.time(), asyncio.get_running_loop().time()
    await clock.advance(1000)
    assert time.time() - wall < 500
    assert asyncio.get_running_loop().time() - loop >= 1000
    await asyncio.sleep(0.01)
    assert asyncio.get_running_loop().time() - loop >= 1000.01


@pytest.mark.gen_test(timeout=5000)
async def test_restored():
    """The loop's own clock is restored, even if two clocks were nested."""
    loop = asyncio.get_running_loop()
    before = loop.time()
    with Clock() as one, Clock() as two:
        await one.advance(100)
        await two.advance(1000)
        assert loop.time() > before + 1100
    assert loop.time() < before + 50
    assert "time" not in vars(loop)


@pytest.mark.gen_test
async def test_again():
    """A restored clock can be used again, even with another loop."""
    clock, loop, ran = Clock(), asyncio.get_running_loop(), []
    assert abs(clock.time() - loop.time()) < 1
    for number in range(2):
        with clock:
            loop.call_later(10, ran.append, number)
            await clock.advance(11)
        assert ran == [*range(number + 1)]
        assert abs(clock.time() - loop.time()) < 1

    async def turn():
        before = asyncio.get_running_loop().time()
        with clock:
            await clock.advance(100)
            return asyncio.get_running_loop().time() - before

    assert await asyncio.to_thread(asyncio.run, turn()) >= 100


@pytest.mark.gen_test
async def test_mistakes():
    """A clock only goes forward, and belongs to one loop."""
    clock = Clock(asyncio.get_running_loop())
    for seconds in (-1, float("inf"), float("nan")):
        with pytest.raises(ValueError, match=f"only goes forward, not by {seconds} seconds"):
            await clock.advance(seconds)
    clock.restore()
    other = IOLoop(make_current=False)
    foreign = Clock(other)
    with pytest.raises(RuntimeError, match="does not belong to the running"):
        await foreign.advance(1)
    foreign.restore()
    other.close()


@pytest.mark.gen_test
async def test_a_task_that_has_just_begun(clock):
    """The timer of a new task is set before the clock advances."""
    task = asyncio.ensure_future(asyncio.sleep(10, "woken"))
    await clock.advance(10)
    assert task.result() == "woken"


def test_uvloop():
    """The clock of uvloop cannot be replaced, and the error says so."""

    async def turn():
        with pytest.raises(RuntimeError, match=r"clock of uvloop\.Loop cannot be replaced"):
            await Clock().advance(1)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(turn())


class OfTornado(AsyncTestCase):
    """The timeouts of `gen_test` use real time."""

    def setUp(self):
        super().setUp()
        self.clock = self.enterContext(Clock(self.io_loop))

    @gen_test(timeout=1)
    async def test_advance(self):
        await self.clock.advance(3600)
        await asyncio.sleep(0.01)

    @gen_test(timeout=0.05)
    async def hang(self):
        await self.clock.advance(3600)
        await asyncio.sleep(3600)

    def test_hang(self):
        with pytest.raises(TimeoutError, match=r"not end within 0\.05 s of real time") as raised:
            self.hang()
        # The report shows the line that was waiting.
        assert "sleep(3600)" in "".join(traceback.format_exception(raised.value))

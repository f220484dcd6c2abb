"""A wheel runs turns about when they are due, with one timer."""

import asyncio
import gc
import weakref

import pytest

from tatsumaki_py.push.wheel import TICK, Wheel, jittered


class Turns:
    """A turn that counts its calls, and asks for the next one in `delay` seconds."""

    def __init__(self, delay=None):
        self.delay = delay
        self.count = 0

    def turn(self):
        self.count += 1
        return self.delay


class Failing(Turns):
    def turn(self):
        raise ValueError("on purpose")


@pytest.mark.gen_test
async def test_one_that_fails(clock, expect_log):
    """An exception in a turn is logged, and the other turns still run, now and later."""
    turns = Turns(delay=10)
    for turning in (Failing(), turns):
        Wheel.current().add(turning, 5)
    with expect_log("tatsumaki", "Failing failed") as records:
        await clock.advance(5 + TICK)
    assert records[0].exc_info[0] is ValueError
    await clock.advance(10 + TICK)
    assert turns.count == 2


@pytest.mark.gen_test
async def test_comes_when_it_is_due(clock):
    """A turn runs when it is due or at most a tick later, and repeats until it returns None."""
    turns = Turns(delay=10)
    Wheel.current().add(turns, 5)
    await clock.advance(4.9)
    assert turns.count == 0
    await clock.advance(0.1 + TICK)
    assert turns.count == 1
    await clock.advance(9.5)
    assert turns.count == 1
    turns.delay = None
    await clock.advance(0.5 + TICK)
    assert turns.count == 2
    await clock.advance(100)
    assert turns.count == 2


@pytest.mark.gen_test
async def test_each_at_its_time(clock):
    """A turn that is added later may be due earlier, and a jump over many buckets skips no turn."""
    late, early, middle = Turns(), Turns(), Turns()
    for turns, delay in ((late, 60), (early, 1), (middle, 30)):
        Wheel.current().add(turns, delay)
    await clock.advance(1 + TICK)
    assert (early.count, middle.count, late.count) == (1, 0, 0)
    Wheel.current().add(early, 2)
    await clock.advance(100)
    assert (early.count, middle.count, late.count) == (2, 1, 1)


@pytest.mark.gen_test
async def test_one_timer_for_all(io_loop, monkeypatch):
    """Ten thousand turns need only a few timers, and are spread over many buckets."""
    timers = []
    call_at = io_loop.asyncio_loop.call_at
    monkeypatch.setattr(
        io_loop.asyncio_loop,
        "call_at",
        lambda when, *args, **kwargs: timers.append(when) or call_at(when, *args, **kwargs),
    )
    wheel = Wheel.current()
    for _ in range(10_000):
        wheel.add(Turns(), jittered(25, 0.2))
    # A new timer is set only for a turn that is due before all others.
    assert len(timers) < 25
    assert len(wheel._buckets) >= 5 / TICK
    assert max(map(len, wheel._buckets.values())) < 1000


@pytest.mark.gen_test
async def test_it_is_the_loops():
    """Each loop has its own wheel, which is freed with its loop."""
    wheels = []

    def elsewhere():
        async def main():
            Wheel.current().add(Turns(), 1000)
            wheels.append(weakref.ref(Wheel.current()))
            assert Wheel.current() is wheels[0]()

        asyncio.run(main())

    Wheel.current().add(Turns(), 1)
    await asyncio.to_thread(elsewhere)
    gc.collect()
    assert wheels[0]() is None

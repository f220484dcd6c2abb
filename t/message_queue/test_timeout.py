"""The timeout of a long poll."""

import asyncio

import pytest
from message_queue.fakes import Taker, numbers, turn
from support.answers import until


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.gen_test
async def test_zero(queue):
    """With a timeout of 0, a poll is answered immediately, with the available events or none."""
    taker = Taker()
    queue.poll_once("me", taker, timeout=0)
    assert taker.calls == [[]]
    assert await queue.poll_once("me", timeout=0) == []
    await queue.publish({"n": 1})
    assert numbers(await queue.poll_once("me", timeout=0)) == [1]


@pytest.mark.gen_test
async def test_in_seconds(queue, clock):
    """A poll without events is answered when its timeout (an int or a float, in s) has passed."""
    for timeout in (7, 7.5):
        taker = Taker()
        queue.poll_once("me", taker, timeout)
        await clock.advance(6.9)
        assert taker.calls == []
        await clock.advance(1)
        assert taker.calls == [[]]


@pytest.mark.gen_test
async def test_infinite(queue, clock):
    """With an infinite timeout, a poll waits until there is an event."""
    taker = Taker()
    queue.poll_once("me", taker, timeout=float("inf"))
    await clock.advance(10.0**7)
    assert taker.calls == []
    await queue.publish({"n": 1})
    await until(lambda: taker.calls == [[1]])


@pytest.mark.parametrize("timeout", [-1, -0.1, float("nan"), float("-inf")])
@pytest.mark.gen_test
async def test_no_duration(queue, timeout):
    """A timeout that is not a duration raises a ValueError and leaves no client."""
    with pytest.raises(ValueError, match="timeout must be 0 seconds or more"):
        queue.poll_once("me", Taker(), timeout)
    assert not queue.clients


@pytest.mark.parametrize("timeout", ["5", [], 1j])
@pytest.mark.gen_test
async def test_no_number(queue, timeout):
    """A timeout that is not a number raises a TypeError and leaves no client."""
    with pytest.raises(TypeError):
        queue.poll_once("me", Taker(), timeout)
    assert not queue.clients


@pytest.mark.gen_test
async def test_event_stops_it(queue, clock):
    """The timeout of an answered poll does not affect the next poll."""
    first, second = Taker(), Taker()
    queue.poll_once("me", first, 10)
    await queue.publish({"n": 1})
    await until(lambda: first.calls == [[1]])
    await clock.advance(5)
    queue.poll_once("me", second, 10)
    await clock.advance(6)
    assert (first.calls, second.calls) == ([[1]], [])
    await clock.advance(5)
    assert (first.calls, second.calls) == ([[1]], [[]])


@pytest.mark.gen_test
async def test_awaited(queue, clock):
    """An awaited poll returns [] when it times out."""
    task = asyncio.ensure_future(_wait(queue.poll_once("me", timeout=10)))
    await turn()
    await clock.advance(10.1)
    assert await task == []


async def _wait(poll):
    return await poll


@pytest.mark.gen_test
async def test_none_is_the_default(queue, clock):
    """A timeout of None is the default of 55 s, as in the original with an undefined argument."""
    taker = Taker()
    queue.poll_once("me", taker, None)
    await clock.advance(54)
    assert taker.calls == []
    await clock.advance(2)
    assert taker.calls == [[]]

"""Events that were recently published with an idempotency key are not published again with it."""

import asyncio

import pytest
from engine.feed import bodies

from tatsumaki_py import Error


@pytest.mark.gen_test
async def test_again(engine, attached):
    """The same key with the same events returns the same ids and publishes nothing."""
    feed = await attached(engine)
    ids = await engine.publish(feed, bodies(1, 2), idempotency_key="key")
    assert await engine.publish(feed, bodies(1, 2), idempotency_key="key") == ids
    await engine.publish(feed, bodies(3))
    await feed.has(1, 2, 3)


@pytest.mark.gen_test
async def test_race(engine, attached):
    """If ten publishes with one key race, one is accepted, and all ten get its ids."""
    feed = await attached(engine)
    answers = await asyncio.gather(
        *(engine.publish(feed, bodies(1), idempotency_key="key") for _ in range(10))
    )
    assert answers == [answers[0]] * 10
    await engine.publish(feed, bodies(2))
    await feed.has(1, 2)


@pytest.mark.gen_test
async def test_race_of_two_processes(engine, other, attached):
    """If publishes of two processes with one key race, one is accepted, and all get its ids."""
    here, there = await attached(engine), await attached(other)
    calls = [engine.publish(here, bodies(1), idempotency_key="key") for _ in range(3)]
    calls += [other.publish(there, bodies(1), idempotency_key="key") for _ in range(3)]
    answers = await asyncio.gather(*calls)
    assert answers == [answers[0]] * 6
    await here.has(1)
    await there.has(1)


@pytest.mark.gen_test
async def test_other_events(engine, attached):
    """The same key with different events raises a 422, and the key keeps its first events."""
    feed = await attached(engine)
    ids = await engine.publish(feed, bodies(1), idempotency_key="key")
    for different in (bodies(2), bodies(1, 1), []):
        with pytest.raises(Error.HTTP) as error:
            await engine.publish(feed, different, idempotency_key="key")
        assert error.value.code == 422
    assert await engine.publish(feed, bodies(1), idempotency_key="key") == ids
    await feed.has(1)


@pytest.mark.gen_test
async def test_a_key_belongs_to_its_channel(engine, attached):
    """An event is published again with a different key, or with the same key in another channel."""
    a, b = await attached(engine, "a"), await attached(engine, "b")
    ids = await engine.publish(a, bodies(1), idempotency_key="key")
    assert await engine.publish(b, bodies(1), idempotency_key="key") != ids
    assert await engine.publish(a, bodies(1), idempotency_key="other") != ids
    await a.has(1, 1)
    await b.has(1)


@pytest.mark.gen_test
async def test_for_a_time(engine, attached, passing):
    """After `idempotency_time`, a publish with the same key publishes the events again."""
    feed = await attached(engine, idempotency_time=passing.life)
    ids = await engine.publish(feed, bodies(1), idempotency_key="key")
    await passing(60)
    assert await engine.publish(feed, bodies(1), idempotency_key="key") == ids
    await passing(60)
    assert await engine.publish(feed, bodies(1), idempotency_key="key") != ids
    await feed.has(1, 1)

"""publish with an idempotency key: a retry does not publish the events again."""

import pytest
from message_queue.fakes import Taker, events, numbers

from tatsumaki_py import Error, MessageQueue


@pytest.mark.gen_test
async def test_again(queue):
    """The same key with the same events returns the same ids and publishes nothing."""
    taker = Taker()
    queue.poll("me", taker)
    ids = await queue.publish(*events(1, 2), idempotency_key="key")
    assert await queue.publish(*events(1, 2), idempotency_key="key") == ids
    assert len(ids) == 2
    assert taker.calls == [[1, 2]]
    assert numbers(queue.backlog_events) == [1, 2]


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.gen_test
async def test_other_keys_and_channels(queue):
    """An event is published again with a different key, or with the same key in another channel."""
    ids = [await queue.publish({"n": 1}, idempotency_key=key) for key in ("a", "b")]
    other = MessageQueue.instance("other")
    await other.publish({"n": 1}, idempotency_key="a")
    await queue.publish({"n": 1})
    assert ids[0] != ids[1]
    assert numbers(queue.backlog_events) == [1, 1, 1]
    assert numbers(other.backlog_events) == [1]


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.parametrize("other", [events(2), events(1, 1), [], [{"n": 1, "m": 1}]])
@pytest.mark.gen_test
async def test_other_events(queue, other):
    """The same key with different events raises a 422, and the key keeps its first events."""
    ids = await queue.publish({"n": 1}, idempotency_key="key")
    with pytest.raises(Error.HTTP) as error:
        await queue.publish(*other, idempotency_key="key")
    assert error.value.code == 422
    assert await queue.publish({"n": 1}, idempotency_key="key") == ids
    assert numbers(queue.backlog_events) == [1]


@pytest.mark.gen_test
async def test_bad_keys(queue):
    """A key must be a str of 1 to 255 characters."""
    for key in ("", "x" * 256):
        with pytest.raises(Error.HTTP, match="1 to 255") as error:
            queue.publish({"n": 1}, idempotency_key=key)
        assert error.value.code == 400
    with pytest.raises(TypeError, match="idempotency_key must be a str, not int"):
        queue.publish({"n": 1}, idempotency_key=1)
    assert queue.backlog_events == []
    await queue.publish({"n": 1}, idempotency_key="é" * 255)


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.gen_test
async def test_refused_events_keep_no_key(queue):
    """A refused publish does not use up its key."""
    with pytest.raises(TypeError):
        queue.publish({"n": object()}, idempotency_key="key")
    await queue.publish({"n": 1}, idempotency_key="key")
    assert numbers(queue.backlog_events) == [1]


@pytest.mark.engines("memory", "distant", "late")  # Redis has its own clock
@pytest.mark.gen_test
async def test_time(queue, clock):
    """A key is remembered for 300 seconds; retries do not extend this time."""
    first = await queue.publish({"n": 1}, idempotency_key="key")
    await clock.advance(200)
    assert await queue.publish({"n": 1}, idempotency_key="key") == first
    await clock.advance(99)
    assert await queue.publish({"n": 1}, idempotency_key="key") == first
    await clock.advance(2)
    second = await queue.publish({"n": 1}, idempotency_key="key")
    assert second != first
    assert await queue.publish({"n": 1}, idempotency_key="key") == second


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.gen_test
async def test_number(make_queue):
    """Beyond `idempotency_keys` keys, the oldest key is forgotten first."""
    queue = make_queue(idempotency_keys=3)
    ids = {key: await queue.publish({"n": 1}, idempotency_key=key) for key in "abcd"}
    for key in "bcd":
        assert await queue.publish({"n": 1}, idempotency_key=key) == ids[key]
    assert await queue.publish({"n": 1}, idempotency_key="a") != ids["a"]
    assert len(queue.backlog_events) == 5


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.gen_test
async def test_none(make_queue):
    """With `idempotency_keys` 0, keys are ignored: a retry publishes the event again."""
    queue = make_queue(idempotency_keys=0)
    for _ in range(2):
        await queue.publish({"n": 1}, idempotency_key="key")
    assert numbers(queue.backlog_events) == [1, 1]


@pytest.mark.gen_test
async def test_longer_than_the_events(make_queue, clock):
    """A key is remembered longer than the events and clients of its channel."""
    queue = make_queue(backlog_length=0)
    ids = await queue.publish({"n": 1}, idempotency_key="key")
    queue.poll("me", Taker()).cancel()
    await clock.advance(100)
    assert not queue.clients
    assert not queue.backlog_events
    assert await queue.publish({"n": 1}, idempotency_key="key") == ids


@pytest.mark.engines("memory")  # the test checks right after calling `publish`
@pytest.mark.gen_test
async def test_not_longer_than_the_channel(make_queue, clock):
    """The keys of a channel are forgotten with the channel."""
    queue = make_queue(idle_timeout=100.0)
    ids = await queue.publish({"n": 1}, idempotency_key="key")
    await clock.advance(101)
    assert not queue.backlog_events
    assert await queue.publish({"n": 1}, idempotency_key="key") != ids


@pytest.mark.gen_test
async def test_again_while_it_is_delivered(queue):
    """A callback that repeats the publish with its key gets the ids of the event it is handling."""
    taker, again = Taker(), []

    def callback(*events):
        again.append(queue.publish({"n": 1}, idempotency_key="key"))

    queue.poll("again", callback)
    queue.poll("taker", taker)
    ids = await queue.publish({"n": 1}, idempotency_key="key")
    assert [await accepted for accepted in again] == [ids]
    assert taker.calls == [[1]]


@pytest.mark.gen_test
async def test_ids_are_a_copy(queue):
    """Changing the returned list of ids does not change the remembered ids."""
    ids = await queue.publish({"n": 1}, idempotency_key="key")
    expected = list(ids)
    ids.clear()
    again = await queue.publish({"n": 1}, idempotency_key="key")
    again.append("x")
    assert await queue.publish({"n": 1}, idempotency_key="key") == expected

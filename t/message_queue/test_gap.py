"""A client that lost events gets a gap, and never loses more events than necessary."""

import pytest
from message_queue.fakes import FakePeer, Taker, events, numbers
from support.answers import until


@pytest.mark.gen_test
async def test_more_than_buffer_length(make_queue):
    """An absent client that missed more than `buffer_length` events loses only the oldest."""
    queue = make_queue(backlog_length=3, buffer_length=10)
    await queue.poll_once("me", timeout=0)
    await queue.publish(*events(*range(10)))
    assert numbers(await queue.poll_once("me")) == [*range(10)]
    await queue.publish(*events(*range(10, 20)))
    await queue.publish({"n": 20})
    assert numbers(await queue.poll_once("me")) == ["gap", *range(11, 21)]
    assert await queue.poll_once("me", timeout=0) == []


@pytest.mark.gen_test
async def test_more_than_buffer_size(make_queue):
    """Beyond `buffer_size` bytes, the oldest events are lost; a large event may remain alone."""
    queue = make_queue(backlog_length=3, buffer_size=4000)
    await queue.poll_once("me", timeout=0)
    for n in range(5):
        await queue.publish({"n": n, "text": "x" * 490})
    assert numbers(await queue.poll_once("me")) == ["gap", 2, 3, 4]
    await queue.publish({"n": 5, "text": "x" * 3400})
    assert numbers(queue.backlog_events) == [5]


@pytest.mark.gen_test
async def test_slow_stream(make_queue):
    """A slow stream that lost events gets a gap and continues."""
    queue = make_queue(backlog_length=3, buffer_length=5)
    taker, batches = queue.poll("me"), []
    await queue.publish({"n": 0})
    batches.append(numbers(await anext(taker)))
    for n in range(1, 8):
        await queue.publish({"n": n})
    batches.append(numbers(await anext(taker)))
    await queue.publish({"n": 8})
    batches.append(numbers(await anext(taker)))
    assert batches == [[0], ["gap", 3, 4, 5, 6, 7], [8]]


@pytest.mark.engines("memory")  # the test checks right after calling `publish`
@pytest.mark.gen_test
async def test_told_once(make_queue):
    """A gap is confirmed only when the answer that contains it is complete."""
    queue = make_queue(backlog_length=1, buffer_length=2)
    await queue.poll_once("me", timeout=0)
    await queue.publish(*events(1, 2, 3))
    lost = FakePeer()
    queue.poll_once("me", lost.on_new_event)
    lost.leave()
    assert lost.calls == [["gap", 2, 3]]
    assert numbers(await queue.poll_once("me")) == ["gap", 2, 3]
    assert await queue.poll_once("me", timeout=0) == []


@pytest.mark.gen_test
async def test_one_publish_larger_than_the_buffer(make_queue):
    """Listeners get all events of a publish larger than the buffer; an absent client gets a gap."""
    queue = make_queue(backlog_length=2, buffer_length=4)
    stream, once = Taker(), Taker()
    queue.poll("stream", stream)
    queue.poll_once("once", once)
    await queue.poll_once("away", timeout=0)
    await queue.publish(*events(*range(10)))
    await until(lambda: stream.calls == once.calls == [[*range(10)]])
    assert numbers(await queue.poll_once("away")) == ["gap", 6, 7, 8, 9]

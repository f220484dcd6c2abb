"""A stream whose connection is lost goes back to what was sent in the last `recovery_time`."""

import pytest
from message_queue.fakes import FakePeer, events, numbers


async def back(queue, name="ann"):
    return numbers(await queue.poll_once(name, timeout=0))


@pytest.mark.gen_test
async def test_lost_or_not(queue):
    """Only a loss makes it come again."""
    for lost in (False, True):
        peer = FakePeer()
        queue.poll("ann", peer.on_new_event)
        await queue.publish(*events(1, 2))
        peer.leave(lost)
        assert await back(queue) == ([1, 2] if lost else [])


@pytest.mark.gen_test
async def test_not_before_the_stream(queue):
    """What the client had when the stream began does not come again."""
    await queue.publish(*events(1, 2))
    assert await back(queue) == [1, 2]
    peer = FakePeer()
    queue.poll("ann", peer.on_new_event)
    await queue.publish({"n": 3})
    peer.leave(lost=True)
    assert await back(queue) == [3]


@pytest.mark.gen_test
async def test_not_before_recovery_time(make_queue, clock):
    """What was sent longer ago has arrived."""
    queue = make_queue(backlog_length=2)
    peer = FakePeer()
    queue.poll("ann", peer.on_new_event)
    for n in range(10):
        await queue.publish({"n": n})
        await clock.advance(10)
    peer.leave(lost=True)
    got = await back(queue)
    assert got[-3:] == [7, 8, 9]
    assert 3 <= len(got) <= 5


@pytest.mark.engines("memory", "distant")  # it looks right after a poll, and at `cursor`
@pytest.mark.gen_test
async def test_a_stream_that_reads_on(make_queue, clock):
    """What was sent lately counts, not what was published lately."""
    queue = make_queue(backlog_length=50)
    await queue.publish(*events(*range(20)))
    await clock.advance(100)
    peer = FakePeer()
    queue.poll("ann", peer.on_new_event)
    assert peer.calls
    peer.leave(lost=True)
    assert await back(queue) == [*range(20)]


@pytest.mark.gen_test
async def test_more_than_is_kept(make_queue):
    """What is not there any more is a gap: it may not have arrived."""
    queue = make_queue(backlog_length=2, buffer_length=5)
    peer = FakePeer()
    queue.poll("ann", peer.on_new_event)
    for n in range(10):
        await queue.publish({"n": n})
    peer.leave(lost=True)
    assert await back(queue) == ["gap", 5, 6, 7, 8, 9]


@pytest.mark.gen_test
async def test_taken_over_in_doubt(make_queue):
    """A second stream ends the first, whose client has not acknowledged all."""
    for doubt in (False, True):
        queue, first, second = make_queue(str(doubt)), FakePeer(), FakePeer()
        queue.poll("ann", first.on_new_event)
        await queue.publish({"n": 1})
        first.in_doubt = doubt
        queue.poll("ann", second.on_new_event)
        assert second.calls == ([[1]] if doubt else [])


@pytest.mark.gen_test
async def test_nothing_to_recover(make_queue):
    """Without a `recovery_time` nothing comes again."""
    queue = make_queue(recovery_time=0)
    peer = FakePeer()
    queue.poll("ann", peer.on_new_event)
    await queue.publish({"n": 1})
    peer.leave(lost=True)
    assert await back(queue) == []

"""After a lost connection, a stream resumes before the events of the last `recovery_time`."""

import pytest
from message_queue.fakes import FakePeer, events, numbers


async def back(queue, name="ann"):
    return numbers(await queue.poll_once(name, timeout=0))


@pytest.mark.gen_test
async def test_lost_or_not(queue):
    """Events come again only if the connection was lost."""
    for lost in (False, True):
        peer = FakePeer()
        queue.poll("ann", peer.on_new_event)
        await queue.publish(*events(1, 2))
        peer.leave(lost)
        assert await back(queue) == ([1, 2] if lost else [])


@pytest.mark.gen_test
async def test_not_before_the_stream(queue):
    """Events that the client had before the stream began do not come again."""
    await queue.publish(*events(1, 2))
    assert await back(queue) == [1, 2]
    peer = FakePeer()
    queue.poll("ann", peer.on_new_event)
    await queue.publish({"n": 3})
    peer.leave(lost=True)
    assert await back(queue) == [3]


@pytest.mark.gen_test
async def test_not_before_recovery_time(make_queue, clock):
    """Events that were sent before the last `recovery_time` do not come again."""
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


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.gen_test
async def test_a_stream_that_reads_on(make_queue, clock):
    """Events that were sent recently come again, even if they were published long ago."""
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
    """If events that may not have arrived are no longer kept, the client gets a gap."""
    queue = make_queue(backlog_length=2, buffer_length=5)
    peer = FakePeer()
    queue.poll("ann", peer.on_new_event)
    for n in range(10):
        await queue.publish({"n": n})
    peer.leave(lost=True)
    assert await back(queue) == ["gap", 5, 6, 7, 8, 9]


@pytest.mark.gen_test
async def test_taken_over_in_doubt(make_queue):
    """If a new stream takes over while events are in doubt, these events come again."""
    for doubt in (False, True):
        queue, first, second = make_queue(str(doubt)), FakePeer(), FakePeer()
        queue.poll("ann", first.on_new_event)
        await queue.publish({"n": 1})
        first.in_doubt = doubt
        queue.poll("ann", second.on_new_event)
        assert second.calls == ([[1]] if doubt else [])


@pytest.mark.gen_test
async def test_nothing_to_recover(make_queue):
    """With `recovery_time` 0, no event comes again."""
    queue = make_queue(recovery_time=0)
    peer = FakePeer()
    queue.poll("ann", peer.on_new_event)
    await queue.publish({"n": 1})
    peer.leave(lost=True)
    assert await back(queue) == []

"""The peer is told its client's cursor at the start of a stream and before an empty answer."""

import pytest
from message_queue.fakes import FakePeer, Taker, events


async def publish(queue, *numbers):
    return [(await queue.publish(event))[0] for event in events(*numbers)]


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.gen_test
async def test_stream(queue):
    """The peer of a stream is told the cursor once, before the events that follow it."""
    await queue.ready()
    start = queue.cursor()
    await publish(queue, 1)
    peer = FakePeer()
    poll = queue.poll("me", peer.on_new_event)
    await publish(queue, 2)
    assert peer.told == [start, [1], [2]]
    assert poll.cursor == start


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.gen_test
async def test_stream_with_a_cursor(queue):
    """A stream with a cursor begins at that cursor."""
    ids = await publish(queue, 1, 2, 3)
    said, given = FakePeer(cursor=ids[1]), FakePeer()
    queue.poll("said", said.on_new_event)
    queue.poll("given", given.on_new_event, last_event_id=ids[2])
    assert (said.told, given.told) == ([ids[1], [3]], [ids[2]])


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.gen_test
async def test_stream_that_takes_over(queue):
    """A stream that takes over begins at the place of the old one, which is not told again."""
    await queue.ready()
    start = queue.cursor()
    (id,) = await publish(queue, 1)
    first, second = FakePeer(), FakePeer()
    queue.poll("me", first.on_new_event)
    queue.poll("me", second.on_new_event)
    assert first.told == [start, [1]]
    assert first.finished
    assert second.told == [id]


@pytest.mark.gen_test
async def test_stream_that_is_cut_off_by_it(queue):
    """If a peer leaves when it is told the cursor, it gets no events."""
    await queue.ready()
    start = queue.cursor()

    class Full(FakePeer):
        def _peer_at(self, cursor):
            super()._peer_at(cursor)
            self.leave()

    await publish(queue, 1)
    peer = Full()
    queue.poll("me", peer.on_new_event)
    await publish(queue, 2)
    assert peer.told == [start]
    assert queue.clients["me"].listener is None


@pytest.mark.gen_test
async def test_long_poll_without_events(queue, clock):
    """A long poll's peer is told the cursor before any answer without events."""
    ids = await publish(queue, 1)
    late, interval, flushed, published = (FakePeer(cursor=ids[0]) for _ in range(4))
    queue.poll_once("late", late.answer, 5)
    await clock.advance(6)
    queue.poll_once("interval", interval.answer, 0)
    queue.poll_once("flushed", flushed.answer)
    queue.flush_events("flushed")
    queue.poll_once("published", published.answer)
    queue.publish()
    assert [peer.told for peer in (late, interval, flushed, published)] == [[ids[0], []]] * 4


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.gen_test
async def test_long_poll_with_events(queue):
    """A long poll's peer is not told the cursor if the answer contains events."""
    await publish(queue, 1)
    peer = FakePeer()
    queue.poll_once("me", peer.answer)
    assert peer.told == [[1]]


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.gen_test
async def test_long_poll_that_is_ended(queue):
    """A long poll that another poll or `disconnect` ends is told its own cursor."""
    ids = await publish(queue, 1, 2)
    first, second = FakePeer(cursor=ids[1]), FakePeer(cursor=ids[0])
    queue.poll_once("me", first.answer)
    queue.poll_once("me", second.answer)
    assert (first.told, second.told) == ([ids[1], []], [[2]])
    third = FakePeer()
    queue.poll_once("me", third.answer)
    queue.disconnect()
    assert third.told == [ids[1], []]


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.gen_test
async def test_where_the_poll_begins(queue):
    """`Poll.cursor` is the cursor at which the poll begins, or "" if its client has left."""
    await queue.ready()
    start = queue.cursor()
    ids = await publish(queue, 1)
    assert queue.poll("me", Taker()).cursor == start
    assert queue.poll("me", Taker()).cursor == ids[0]
    assert queue.poll_once("me", last_event_id=start).cursor == start
    gone = FakePeer()
    gone.leave()
    assert queue.poll("gone", gone.on_new_event).cursor == ""

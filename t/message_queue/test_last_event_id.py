"""The cursor that a client sends takes precedence over the place that the queue remembers."""

import pytest
from message_queue.fakes import FakePeer, Taker, events, numbers
from support.answers import until


@pytest.mark.gen_test
async def test_wins(queue):
    """A cursor takes precedence for long polls and streams, and for known and unknown clients."""
    ids = await queue.publish(*events(*range(5)))
    for client in ("known", "known", "unknown"):
        assert numbers(await queue.poll_once(client, last_event_id=ids[2])) == [3, 4]
    stream = Taker()
    queue.poll("known", stream, last_event_id=ids[0])
    await until(lambda: stream.calls == [[1, 2, 3, 4]])


@pytest.mark.gen_test
async def test_top_waits(queue):
    """A client whose cursor is the newest event waits for the next event."""
    taker = Taker()
    queue.poll_once("me", taker, last_event_id=(await queue.publish(*events(1, 2)))[-1])
    assert taker.calls == []
    await queue.publish({"n": 3})
    await until(lambda: taker.calls == [[3]])


@pytest.mark.gen_test
async def test_empty_is_none(queue):
    """An empty cursor is ignored: a new client gets the backlog, and a known one resumes."""
    await queue.publish({"n": 1})
    assert numbers(await queue.poll_once("me", last_event_id="")) == [1]
    assert await queue.poll_once("me", timeout=0, last_event_id="") == []


@pytest.mark.parametrize("cursor", ["5-5", "99999999999999-0", "0-1", "9" * 20 + "-" + "9" * 20])
@pytest.mark.gen_test
async def test_unknown(queue, cursor):
    """A client with an unknown cursor gets a gap, and then all events from the oldest kept one."""
    ids = await queue.publish(*events(1, 2))
    gap, *rest = await queue.poll_once("me", last_event_id=cursor)
    assert gap == {"type": "gap", "after": cursor, "id": gap.id}
    assert (gap.gap, numbers(rest)) == (True, [1, 2])
    assert numbers(await queue.poll_once("me", last_event_id=gap.id)) == [1, 2]
    assert await queue.poll_once("me", timeout=0) == []
    assert ids == [event.id for event in rest]


@pytest.mark.gen_test
async def test_unknown_in_an_empty_channel(queue):
    """In an empty channel, an unknown cursor gets a gap immediately; the next poll waits."""
    gap = await queue.poll_once("me", last_event_id="1700000000000-3")
    assert numbers(gap) == ["gap"]
    taker = Taker()
    queue.poll_once("me", taker, last_event_id=gap[0].id)
    await queue.publish({"n": 1})
    await until(lambda: taker.calls == [[1]])


@pytest.mark.parametrize("cursor", ["x", "1", "1-0 ", "-", "1-0\r\nx: y", "é", "1_0-0"])
@pytest.mark.gen_test
async def test_malformed(queue, cursor):
    """A client with a malformed cursor gets a gap and all kept events."""
    await queue.publish({"n": 1})
    stream, peer = Taker(), FakePeer(cursor=cursor)
    for client in ("me", "new"):
        (gap, event) = await queue.poll_once(client, last_event_id=cursor)
        assert gap == {"type": "gap", "after": "0-0", "id": event.prev}
        assert event == {"n": 1}
    queue.poll("stream", stream, last_event_id=cursor)
    queue.poll_once("peer", peer.answer)
    await until(lambda: stream.calls == peer.calls == [["gap", 1]])


@pytest.mark.parametrize("cursor", [5, b"1-0", ["1-0"]])
@pytest.mark.gen_test
async def test_no_text(queue, cursor):
    """A cursor that is not a str raises a TypeError, and leaves no client."""
    with pytest.raises(TypeError, match="last_event_id must be a str, not"):
        queue.poll_once("me", last_event_id=cursor)
    assert not queue.clients


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.gen_test
async def test_from_the_request(queue):
    """By default the cursor comes from the current request; an argument takes precedence."""
    ids = await queue.publish(*events(1, 2, 3))
    one, two = FakePeer(cursor=ids[0]), FakePeer(cursor=ids[0])
    queue.poll_once("one", one.answer)
    queue.poll_once("two", two.answer, last_event_id=ids[1])
    assert (one.calls, two.calls) == ([[2, 3]], [[3]])


@pytest.mark.gen_test
async def test_cursor_holds_its_place(make_queue):
    """A client with a cursor that left before its answer was complete gets all events again."""
    queue = make_queue(backlog_length=2)
    queue.poll_once("holder", FakePeer().on_new_event, timeout=0)
    ids = await queue.publish(*events(*range(10)))
    assert len(await queue.poll_once("me", last_event_id=ids[-1], timeout=0)) == 0
    queue.poll_once("me", (peer := FakePeer()).on_new_event, last_event_id=ids[0])
    queue.poll_once("holder", FakePeer().answer, last_event_id=ids[-1], timeout=0)
    await queue.publish({"n": 10})
    peer.leave()
    assert numbers(await queue.poll_once("me")) == [*range(1, 11)]

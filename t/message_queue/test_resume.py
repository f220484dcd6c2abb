"""A client that comes back within `reconnect_time` resumes where it left off."""

import pytest
from message_queue.fakes import FakePeer, Taker, events, numbers
from support.answers import until

HERE = ("memory", "distant", "late", "sqlite")  # these engines use the clock of this process


@pytest.mark.gen_test
async def test_between_two_polls(queue):
    """Events that are published between two polls come once, with the next poll."""
    await queue.publish({"n": 1})
    assert numbers(await queue.poll_once("me")) == [1]
    await queue.publish(*events(2, 3))
    await queue.publish({"n": 4})
    assert numbers(await queue.poll_once("me")) == [2, 3, 4]
    assert await queue.poll_once("me", timeout=0) == []


@pytest.mark.gen_test
async def test_gone_while_waiting(queue):
    """If a client leaves while its long poll waits, its next poll gets later events."""
    peer = FakePeer()
    queue.poll_once("me", peer.answer)
    peer.leave()
    assert peer.watchers == {}
    await queue.publish({"n": 1})
    again = FakePeer()
    queue.poll_once("me", again.answer)
    await until(lambda: again.calls == [[1]])
    assert peer.calls == []


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.gen_test
async def test_gone_before_its_answer_was_complete(queue):
    """Events of an incomplete answer are delivered again until an answer is complete."""
    await queue.publish({"n": 1})
    for _ in range(3):
        peer = FakePeer()
        queue.poll_once("me", peer.on_new_event)
        assert peer.calls == [[1]]
        await queue.publish()
        peer.leave()
    await queue.publish({"n": 2})
    last = FakePeer()
    queue.poll_once("me", last.answer)
    await until(lambda: last.calls == [[1, 2]])
    assert await queue.poll_once("me", timeout=0) == []


@pytest.mark.gen_test
async def test_published_during_the_answer(queue):
    """An event that is published while an answer is in progress comes with the next poll."""
    peer = FakePeer()
    queue.poll_once("me", peer.on_new_event)
    await queue.publish({"n": 1})
    await queue.publish({"n": 2})
    assert peer.calls == [[1]]
    peer.complete()
    assert numbers(await queue.poll_once("me")) == [2]


@pytest.mark.gen_test
async def test_stream_comes_back(queue):
    """A stream that was cut off resumes after the last event that it got."""
    peer = FakePeer()
    queue.poll("me", peer.on_new_event)
    await queue.publish({"n": 1})
    peer.leave()
    await queue.publish({"n": 2})
    again = Taker()
    queue.poll("me", again)
    await until(lambda: (peer.calls, again.calls) == ([[1]], [[2]]))


@pytest.mark.parametrize("way", ["leave", "poll again", "disconnect"])
@pytest.mark.gen_test
async def test_stream_with_unsent_bytes(queue, way):
    """Events that a stream wrote but the kernel did not take come again."""
    peer, again = FakePeer(), Taker()
    queue.poll("me", peer.on_new_event)
    ids = await queue.publish(*events(1, 2, 3))
    peer.unsent = ids[0]
    if way == "leave":
        peer.leave()
    elif way == "disconnect":
        queue.disconnect()
    queue.poll("me", again)
    await until(lambda: again.calls == [[2, 3]])


@pytest.mark.gen_test
async def test_answer_complete_ends_a_stream(queue):
    """A stream whose answer is complete gets no more events; its client's next poll gets them."""
    peer = FakePeer()
    queue.poll("me", peer.on_new_event)
    await queue.publish({"n": 1})
    peer.complete()
    await queue.publish({"n": 2})
    assert peer.calls == [[1]]
    assert numbers(await queue.poll_once("me")) == [2]


@pytest.mark.engines(*HERE)
@pytest.mark.gen_test
async def test_forgotten_in_time(make_queue, clock):
    """A client is still known 29 s after it left, and is new after 31 s."""
    queue = make_queue(backlog_length=1)
    await queue.poll_once("me", timeout=0)
    await queue.publish(*events(1, 2))
    await clock.advance(29)
    assert numbers(await queue.poll_once("me")) == [1, 2]
    await clock.advance(31)
    assert "me" not in queue.clients
    assert numbers(await queue.poll_once("me")) == [2]


@pytest.mark.engines(*HERE)
@pytest.mark.gen_test
async def test_listening_is_never_forgotten(queue, clock):
    """A client that listens for more than an hour is not forgotten."""
    stream, once = Taker(), Taker()
    queue.poll("stream", stream)
    queue.poll_once("once", once, timeout=float("inf"))
    for _ in range(5):
        await clock.advance(1000)
    await queue.publish({"n": 1})
    await until(lambda: stream.calls == once.calls == [[1]])

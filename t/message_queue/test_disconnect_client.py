"""disconnect("name"): one client's poll ends, and the client resumes where it left off."""

import asyncio

import pytest
from message_queue.fakes import FakePeer, Taker, numbers, turn

from tatsumaki_py import MessageQueue


@pytest.mark.gen_test
async def test_one_is_ended(queue):
    """A client's long poll is answered without events, its stream is finished; others continue."""
    once, stream, other = FakePeer(), FakePeer(), FakePeer()
    queue.poll_once("once", once.answer)
    queue.poll("stream", stream.on_new_event)
    queue.poll("other", other.on_new_event)
    await turn()
    assert queue.disconnect("once")
    assert queue.disconnect("stream")
    assert (once.calls, once.finished) == ([[]], True)
    assert (stream.calls, stream.finished) == ([], True)
    await queue.publish({"n": 1})
    assert (other.calls, other.finished) == ([[1]], False)
    for name in ("once", "stream"):
        assert numbers(await queue.poll_once(name)) == [1]


@pytest.mark.gen_test
async def test_coroutines(queue):
    """Awaiting a disconnected poll returns no events, and iterating over one ends."""

    async def await_once():
        return await queue.poll_once("awaited")

    async def iterate():
        return [batch async for batch in queue.poll("7")]

    tasks = [asyncio.ensure_future(await_once()), asyncio.ensure_future(iterate())]
    await turn()
    assert queue.disconnect("awaited")
    assert queue.disconnect(7)
    assert await asyncio.gather(*tasks) == [[], []]


@pytest.mark.gen_test
async def test_who_does_not_listen(queue):
    """`disconnect` returns False for a client that has left and for an unknown client."""
    await queue.poll_once("away", timeout=0)
    assert not queue.disconnect("away")
    assert not queue.disconnect("nobody")
    assert not queue.disconnect()
    assert [*queue.clients] == ["away"]


@pytest.mark.gen_test
async def test_several_channels(make_queue):
    """The queue of one channel ends each poll of the client that includes this channel. The queue
    of several channels ends only a poll of exactly these channels.
    """
    a, b = make_queue("a"), make_queue("b")
    ab = MessageQueue.instance("a", "b")
    alone, both = FakePeer(), FakePeer()
    a.poll("me", alone.on_new_event)
    ab.poll("me", both.on_new_event)
    await turn()
    assert ab.disconnect("me")
    assert (alone.finished, both.finished) == (False, True)
    ab.poll("me", both.on_new_event)
    await turn()
    assert not b.disconnect("other")
    assert a.disconnect("me")
    assert alone.finished
    assert not ab.disconnect("me")


@pytest.mark.gen_test
async def test_a_name_is_needed(queue):
    """`disconnect(None)` raises a TypeError and ends no poll."""
    peer = FakePeer()
    queue.poll(None, peer.on_new_event)
    with pytest.raises(TypeError, match="client_id must be a str, not NoneType"):
        queue.disconnect(None)
    assert not peer.finished
    assert queue.disconnect()
    assert peer.finished


@pytest.mark.gen_test
async def test_its_own_callback(queue):
    """If a callback disconnects its own client, the events of its call are confirmed."""
    calls = Taker()

    def callback(*events):
        calls(*events)
        queue.disconnect("me")

    queue.poll("me", callback)
    await queue.publish({"n": 1})
    await turn()
    await queue.publish({"n": 2})
    assert calls.calls == [[1]]
    assert numbers(await queue.poll_once("me")) == [2]


@pytest.mark.gen_test
async def test_another_thread(queue):
    """In another thread, `disconnect` raises an error and ends no poll."""
    peer = FakePeer()
    queue.poll("me", peer.on_new_event)
    with pytest.raises(RuntimeError, match=r"disconnect\(\) was called outside of"):
        await asyncio.to_thread(queue.disconnect, "me")
    assert not peer.finished

"""A poll without a callback is awaited or iterated over; dropping the poll ends it."""

import asyncio
import gc

import pytest
from message_queue.fakes import FakePeer, Taker, events, numbers, turn
from support.answers import until

from tatsumaki_py import Error
from tatsumaki_py.message_queue import peer


async def wait(poll):
    return await poll


async def iterate(poll, seen):
    async for batch in poll:
        seen.append(numbers(batch))


@pytest.mark.gen_test
async def test_wakes(queue):
    """A coroutine that awaits a poll continues when an event is published."""
    task = asyncio.ensure_future(wait(queue.poll_once("me")))
    await turn()
    assert [*queue.clients] == ["me"]
    await queue.publish(*events(1, 2))
    assert numbers(await task) == [1, 2]


@pytest.mark.gen_test
async def test_batches(queue):
    """Each batch is a list of all events that were published since the previous batch."""
    poll = queue.poll("me")
    assert aiter(poll) is poll
    await queue.publish({"n": 1})
    assert numbers(await anext(poll)) == [1]
    await queue.publish({"n": 2})
    await queue.publish(*events(3, 4))
    assert numbers(await anext(poll)) == [2, 3, 4]


@pytest.mark.gen_test
async def test_batch_counts_when_the_next_is_asked_for(queue):
    """A batch is confirmed when the next one is requested; an unconfirmed batch comes again."""
    await queue.publish(*events(1, 2))
    poll = queue.poll("me")
    assert numbers(await anext(poll)) == [1, 2]
    asked = asyncio.ensure_future(wait_next(poll))
    await turn()
    await queue.publish({"n": 3})
    assert numbers(await asked) == [3]
    del poll, asked
    gc.collect()
    assert numbers(await queue.poll_once("me")) == [3]


async def wait_next(poll):
    return await anext(poll)


@pytest.mark.parametrize("poll", ["poll", "poll_once"])
@pytest.mark.gen_test
async def test_dropped(queue, poll):
    """Dropping an unused poll ends it without the garbage collector, and no event is lost."""
    await queue.publish({"n": 1})
    gc.disable()
    try:
        getattr(queue, poll)("me")
        assert [client.listener for client in queue.clients.values()] == [None]
    finally:
        gc.enable()
    assert numbers(await queue.poll_once("me")) == [1]


@pytest.mark.gen_test
async def test_dropped_coroutine(queue):
    """Closing a coroutine that awaits a poll ends the poll."""
    coroutine = wait(queue.poll_once("me"))
    coroutine.send(None)
    coroutine.close()
    assert queue.clients["me"].listener is None


@pytest.mark.engines("memory")  # the test checks right after calling `publish`
@pytest.mark.parametrize("published", ["before", "in the same turn", "after"])
@pytest.mark.gen_test
async def test_cancelled_task(queue, published):
    """If a waiting task is cancelled at any time, the next poll gets the event that it missed."""
    task = asyncio.ensure_future(wait(queue.poll_once("me")))
    if published == "before":
        await queue.publish({"n": 1})
        task.cancel()
    elif published == "in the same turn":
        await turn()
        await queue.publish({"n": 1})
        task.cancel()
    else:
        await turn()
        task.cancel()
        await turn()
        await queue.publish({"n": 1})
    await asyncio.wait([task])
    if published == "before":
        del task
    assert queue.clients["me"].listener is None
    assert numbers(await queue.poll_once("me")) == [1]


@pytest.mark.gen_test
async def test_wait_for(queue):
    """`asyncio.wait_for` can limit how long a poll waits."""
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(queue.poll_once("me"), 0.01)
    await queue.publish({"n": 1})
    assert numbers(await asyncio.wait_for(queue.poll_once("me"), 1)) == [1]


@pytest.mark.parametrize("callback", [None, Taker()])
@pytest.mark.parametrize("poll", ["poll", "poll_once"])
@pytest.mark.gen_test
async def test_cancel(queue, poll, callback):
    """`cancel` ends a poll and keeps the place of its client; calling it again has no effect."""
    handle = getattr(queue, poll)("me", callback)
    handle.cancel()
    handle.cancel()
    await queue.publish({"n": 1})
    assert callback is None or callback.calls == []
    assert numbers(await queue.poll_once("me")) == [1]
    handle.cancel()


@pytest.mark.gen_test
async def test_cancel_wakes(queue):
    """If a poll is cancelled, code that awaits it gets [], and iterating over it ends."""
    once, stream, seen = queue.poll_once("once"), queue.poll("stream"), []
    tasks = [asyncio.ensure_future(wait(once)), asyncio.ensure_future(iterate(stream, seen))]
    await turn()
    once.cancel()
    stream.cancel()
    assert await asyncio.gather(*tasks) == [[], None]


@pytest.mark.gen_test
async def test_break(queue):
    """`break` ends the stream and leaves the current batch unconfirmed."""
    await queue.publish({"n": 1})
    async for batch in queue.poll("me"):
        assert numbers(batch) == [1]
        break
    assert queue.clients["me"].listener is None
    assert numbers(await queue.poll_once("me")) == [1]


@pytest.mark.gen_test
async def test_mistakes(queue):
    """Using a poll in the wrong way raises an error that says what to do instead."""
    with pytest.raises(TypeError, match="async for"):
        await queue.poll("me")
    with pytest.raises(TypeError, match=r"await mq\.poll_once"):
        aiter(queue.poll_once("me"))
    with pytest.raises(TypeError, match="leave out the callback"):
        await queue.poll_once("me", Taker())
    with pytest.raises(TypeError, match="leave out the callback"):
        aiter(queue.poll("me", Taker()))
    poll = queue.poll_once("me")
    task = asyncio.ensure_future(wait(poll))
    await turn()
    with pytest.raises(RuntimeError, match="already being awaited"):
        await poll
    poll.cancel()
    await task


@pytest.mark.gen_test
async def test_client_of_the_request_leaves(queue):
    """If the client of the request leaves, `await` raises ClientDisconnect and `async for` ends."""
    visitor, seen = FakePeer(), []
    token = peer.current.set(lambda: visitor)
    once = asyncio.ensure_future(wait(queue.poll_once("once")))
    stream = asyncio.ensure_future(iterate(queue.poll("stream"), seen))
    peer.current.reset(token)
    await turn()
    visitor.leave()
    with pytest.raises(Error.ClientDisconnect):
        await once
    await stream
    await queue.publish({"n": 1})
    assert numbers(await queue.poll_once("once")) == [1]


@pytest.mark.gen_test
async def test_several_polls_in_one_request(queue):
    """A handler that awaits one long poll after another gets each event once."""
    visitor = FakePeer()
    token = peer.current.set(lambda: visitor)
    try:
        await queue.publish({"n": 1})
        assert numbers(await queue.poll_once("me")) == [1]
        await queue.publish({"n": 2})
        assert numbers(await queue.poll_once("me")) == [2]
        assert await queue.poll_once("me", timeout=0) == []
    finally:
        peer.current.reset(token)
    await queue.publish({"n": 3})
    await until(lambda: True)
    visitor.complete()
    assert numbers(await queue.poll_once("me")) == [3]


@pytest.mark.gen_test
async def test_answer_complete_before_the_events_were_taken(queue):
    """Events that a handler had not taken when it finished its answer come again."""
    visitor = FakePeer()
    token = peer.current.set(lambda: visitor)
    poll = queue.poll_once("me")
    peer.current.reset(token)
    await queue.publish({"n": 1})
    visitor.complete()
    assert numbers(await queue.poll_once("me")) == [1]
    assert numbers(await poll) == [1]

"""A poll without a callback: await it, or iterate over it; dropping it gives the place up."""

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
    """The coroutine goes on when something is published."""
    task = asyncio.ensure_future(wait(queue.poll_once("me")))
    await turn()
    assert [*queue.clients] == ["me"]
    await queue.publish(*events(1, 2))
    assert numbers(await task) == [1, 2]


@pytest.mark.gen_test
async def test_batches(queue):
    """One list for each delivery; what comes meanwhile is the next one, complete."""
    poll = queue.poll("me")
    assert aiter(poll) is poll
    await queue.publish({"n": 1})
    assert numbers(await anext(poll)) == [1]
    await queue.publish({"n": 2})
    await queue.publish(*events(3, 4))
    assert numbers(await anext(poll)) == [2, 3, 4]


@pytest.mark.gen_test
async def test_batch_counts_when_the_next_is_asked_for(queue):
    """Who stops in the middle of a batch gets all of it again."""
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
    """Dropped without being asked: nobody listens, no event is lost, no collector is needed."""
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
    """So is a coroutine that waits and is closed."""
    coroutine = wait(queue.poll_once("me"))
    coroutine.send(None)
    coroutine.close()
    assert queue.clients["me"].listener is None


@pytest.mark.engines("memory")  # it looks right after `publish` was called
@pytest.mark.parametrize("published", ["before", "in the same turn", "after"])
@pytest.mark.gen_test
async def test_cancelled_task(queue, published):
    """Whenever the task is cancelled: what it did not get is still to come."""
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
    """asyncio's own timeout may be used instead."""
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(queue.poll_once("me"), 0.01)
    await queue.publish({"n": 1})
    assert numbers(await asyncio.wait_for(queue.poll_once("me"), 1)) == [1]


@pytest.mark.parametrize("callback", [None, Taker()])
@pytest.mark.parametrize("poll", ["poll", "poll_once"])
@pytest.mark.gen_test
async def test_cancel(queue, poll, callback):
    """`cancel` ends it; the place is kept; twice is once."""
    handle = getattr(queue, poll)("me", callback)
    handle.cancel()
    handle.cancel()
    await queue.publish({"n": 1})
    assert callback is None or callback.calls == []
    assert numbers(await queue.poll_once("me")) == [1]
    handle.cancel()


@pytest.mark.gen_test
async def test_cancel_wakes(queue):
    """Who waits for a poll that is cancelled gets [], or the end of the iteration."""
    once, stream, seen = queue.poll_once("once"), queue.poll("stream"), []
    tasks = [asyncio.ensure_future(wait(once)), asyncio.ensure_future(iterate(stream, seen))]
    await turn()
    once.cancel()
    stream.cancel()
    assert await asyncio.gather(*tasks) == [[], None]


@pytest.mark.gen_test
async def test_break(queue):
    """`break` ends the stream; the batch in hand is unconfirmed."""
    await queue.publish({"n": 1})
    async for batch in queue.poll("me"):
        assert numbers(batch) == [1]
        break
    assert queue.clients["me"].listener is None
    assert numbers(await queue.poll_once("me")) == [1]


@pytest.mark.gen_test
async def test_mistakes(queue):
    """What does not go together is a TypeError that says what does."""
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
    """ClientDisconnect where it is awaited, the end where it is iterated."""
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
    """A handler that finished without looking at them: they come again."""
    visitor = FakePeer()
    token = peer.current.set(lambda: visitor)
    poll = queue.poll_once("me")
    peer.current.reset(token)
    await queue.publish({"n": 1})
    visitor.complete()
    assert numbers(await queue.poll_once("me")) == [1]
    assert numbers(await poll) == [1]

"""disconnect: all polls end, and each client resumes where it left off."""

import asyncio

import pytest
from message_queue.fakes import FakePeer, Taker, numbers, turn
from support.answers import until


@pytest.mark.gen_test
async def test_all_are_ended(queue):
    """Long polls get no events, streams finish, and awaiting or iterating coroutines continue."""
    once, stream = FakePeer(), FakePeer()
    queue.poll_once("once", once.answer)
    queue.poll("stream", stream.on_new_event)
    seen = []

    async def await_once():
        return await queue.poll_once("awaited")

    async def iterate():
        async for batch in queue.poll("iterated"):
            seen.append(batch)

    tasks = [asyncio.ensure_future(await_once()), asyncio.ensure_future(iterate())]
    await turn()
    queue.disconnect()
    assert (once.calls, once.finished) == ([[]], True)
    assert (stream.calls, stream.finished) == ([], True)
    assert await asyncio.gather(*tasks) == [[], None]
    await queue.publish({"n": 1})
    for name in ("once", "stream", "awaited", "iterated"):
        assert numbers(await queue.poll_once(name)) == [1]


@pytest.mark.gen_test
async def test_forgotten_in_time(queue, clock):
    """Clients that do not come back are forgotten, even if the channel is not used again."""
    queue.poll("stream", Taker())
    queue.poll_once("once", Taker())
    queue.disconnect()
    assert len(queue.clients) == 2
    await clock.advance(31)
    assert len(queue.clients) == 0


@pytest.mark.gen_test
async def test_polling_again_at_once(queue):
    """A callback that polls again when it is ended is not ended twice."""
    calls = Taker()

    def callback(*events):
        calls(*events)
        queue.poll_once("me", callback)

    queue.poll_once("me", callback)
    queue.disconnect()
    assert calls.calls == [[]]
    await queue.publish({"n": 1})
    await until(lambda: calls.calls == [[], [1]])


@pytest.mark.gen_test
async def test_nobody_there(queue):
    """`disconnect` does nothing if no client is listening."""
    queue.disconnect()
    await queue.poll_once("away", timeout=0)
    queue.disconnect()
    assert [*queue.clients] == ["away"]

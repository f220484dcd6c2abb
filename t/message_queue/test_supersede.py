"""A second poll with the same client id ends the first one, without events."""

import asyncio

import pytest
from message_queue.fakes import FakePeer, Taker, events, numbers, turn
from support.answers import until


@pytest.mark.parametrize("second", ["once", "stream"])
@pytest.mark.gen_test
async def test_once_by_callback(queue, second):
    """A second poll answers the first long poll immediately, once and without events."""
    first, later = Taker(), Taker()
    queue.poll_once("me", first)
    (queue.poll_once if second == "once" else queue.poll)("me", later)
    assert (first.calls, later.calls) == ([[]], [])
    await queue.publish({"n": 1})
    await queue.publish({"n": 2})
    expected = [[1]] if second == "once" else [[1], [2]]
    await until(lambda: (first.calls, later.calls) == ([[]], expected))
    assert [*queue.clients] == ["me"]


@pytest.mark.parametrize("second", ["once", "stream"])
@pytest.mark.gen_test
async def test_stream_by_callback(queue, second):
    """A second poll finishes a stream without calling it."""
    peer, later = FakePeer(), Taker()
    queue.poll("me", peer.on_new_event)
    await queue.publish({"n": 1})
    (queue.poll_once if second == "once" else queue.poll)("me", later)
    assert (peer.calls, peer.finished) == ([[1]], True)
    await queue.publish({"n": 2})
    await until(lambda: (peer.calls, later.calls) == ([[1]], [[2]]))


@pytest.mark.parametrize("second", ["once", "stream"])
@pytest.mark.gen_test
async def test_awaited(queue, second):
    """A second poll makes an awaited long poll return []."""
    first = queue.poll_once("me")
    waiting = asyncio.ensure_future(_wait(first))
    await turn()
    later = queue.poll_once("me") if second == "once" else queue.poll("me")
    assert await waiting == []
    await queue.publish({"n": 1})
    assert numbers(await (later if second == "once" else anext(later))) == [1]


@pytest.mark.parametrize("second", ["once", "stream"])
@pytest.mark.gen_test
async def test_iterated(queue, second):
    """A second poll ends the iteration over a stream."""
    seen = []

    async def iterate():
        async for batch in queue.poll("me"):
            seen.append(numbers(batch))

    task = asyncio.ensure_future(iterate())
    await turn()
    await queue.publish({"n": 1})
    await turn()
    later = Taker()
    (queue.poll_once if second == "once" else queue.poll)("me", later)
    await task
    await queue.publish({"n": 2})
    await until(lambda: (seen, later.calls) == ([[1]], [[2]]))


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.gen_test
async def test_unconfirmed_events_go_to_the_second(queue):
    """Events of the first poll's incomplete answer also go to the second poll."""
    await queue.publish({"n": 1})
    first, second = FakePeer(), FakePeer()
    queue.poll_once("me", first.on_new_event)
    queue.poll_once("me", second.answer)
    assert (first.calls, second.calls) == ([[1]], [[1]])
    first.complete()
    await queue.publish({"n": 2})
    assert numbers(await queue.poll_once("me")) == [2]


@pytest.mark.gen_test
async def test_late_end_of_the_first(queue):
    """If the first poll's connection or answer ends later, the second poll is not affected."""
    first, second = FakePeer(), Taker()
    queue.poll_once("me", first.on_new_event)
    queue.poll_once("me", second)
    first.leave()
    first.complete()
    await queue.publish({"n": 1})
    await until(lambda: second.calls == [[1]])


@pytest.mark.gen_test
async def test_third_poll_inside_the_end_of_the_first(queue):
    """If the first callback polls again when it is ended, the newest poll gets the events."""
    second, third = Taker(), Taker()
    queue.poll_once("me", lambda *events: queue.poll_once("me", third))
    queue.poll_once("me", second)
    await queue.publish({"n": 1})
    await until(lambda: (second.calls, third.calls) == ([[]], [[1]]))


@pytest.mark.gen_test
async def test_third_poll_takes_what_was_for_the_second(queue):
    """If the first callback polls again, events for the second poll go to the newest poll only."""
    ids = await queue.publish(*events(1, 2))
    second, third = Taker(), Taker()
    queue.poll_once(
        "me", lambda *events: queue.poll_once("me", third), last_event_id=queue.cursor()
    )
    queue.poll_once("me", second, last_event_id=ids[0])
    await until(lambda: (second.calls, third.calls) == ([[]], [[2]]))


@pytest.mark.gen_test
async def test_end_that_raises(queue, expect_log):
    """An exception in the first callback is logged, and the second poll continues."""

    def first(*events):
        raise RuntimeError("boo")

    queue.poll_once("me", first)
    second = Taker()
    with expect_log("tatsumaki", r"callback of client \w{8} on channel 'room' raised") as records:
        queue.poll_once("me", second)
    assert "boo" in str(records[0].exc_info[1])
    await queue.publish({"n": 1})
    await until(lambda: second.calls == [[1]])


@pytest.mark.parametrize("how", ["raise", "cancel"])
@pytest.mark.gen_test
async def test_end_by_a_coroutine(queue, log_watch, how):
    """If the first callback is a coroutine function, it runs, and its exception is logged."""
    ended = []

    async def first(*events):
        ended.append(events)
        if how == "cancel":
            asyncio.current_task().cancel()
        await asyncio.sleep(0)
        raise RuntimeError("boo")

    queue.poll_once("me", first)
    queue.poll_once("me", Taker())
    if how == "raise":
        with log_watch.expect("tatsumaki", r"callback of client \w{8} on channel 'room' raised"):
            await turn()
    await turn()
    assert ended == [()]


@pytest.mark.gen_test
async def test_a_storm(queue):
    """A hundred polls of the same id leave one client, and the newest poll gets the events."""
    takers = [Taker() for _ in range(100)]
    for taker in takers:
        queue.poll_once("me", taker)
    await queue.publish(*events(1, 2))
    await until(lambda: takers[-1].calls == [[1, 2]])
    assert all(taker.calls == [[]] for taker in takers[:-1])
    assert [*queue.clients] == ["me"]


async def _wait(poll):
    return await poll

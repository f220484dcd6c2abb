"""Each client gets every event once, in the order of the log."""

import asyncio

import pytest
from message_queue.fakes import Taker, events, numbers
from support.answers import until


@pytest.mark.gen_test
async def test_streams_and_polls_agree(queue):
    """Streams by callback, streams by iteration and long polls see the same order."""
    stream, iterated, polled = Taker(), [], []

    async def iterate():
        async for batch in queue.poll("iterated"):
            iterated.extend(numbers(batch))

    async def poll_again():
        while True:
            polled.extend(numbers(await queue.poll_once("polled")))

    queue.poll("stream", stream)
    tasks = [asyncio.ensure_future(iterate()), asyncio.ensure_future(poll_again())]
    for n in range(0, 90, 3):
        await queue.publish(*events(n, n + 1, n + 2))
        await asyncio.sleep(0)
    for seen in (stream.seen, iterated, polled):
        await until(lambda seen=seen: seen == [*range(90)])
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


@pytest.mark.gen_test
async def test_batch_stays_together(queue):
    """Events that are published with one call arrive with one call."""
    taker = Taker()
    queue.poll("me", taker)
    await queue.publish(*events(1, 2, 3))
    await queue.publish({"n": 4})
    await until(lambda: taker.calls == [[1, 2, 3], [4]])


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.gen_test
async def test_ids_of_what_was_published(queue):
    """Awaiting `publish` returns the ids in order, and each id is a cursor."""
    ids = await queue.publish(*events(1, 2, 3))
    assert ids == [event.id for event in queue.backlog_events]
    assert queue.cursor() == ids[-1]
    assert numbers(await queue.poll_once("me", last_event_id=ids[0])) == [2, 3]


@pytest.mark.gen_test
async def test_channels_are_apart(make_queue):
    """The same client id in two channels is two clients."""
    takers = {name: Taker() for name in ("a", "b")}
    for name, taker in takers.items():
        make_queue(name).poll("me", taker)
    await make_queue("a").publish({"n": 1})
    await make_queue("b").publish({"n": 2})
    await until(lambda: (takers["a"].calls, takers["b"].calls) == ([[1]], [[2]]))


@pytest.mark.parametrize("id", ["", "0", "*", "é☃", "a\r\nb: c", "\0", "x" * 1024])
@pytest.mark.gen_test
async def test_any_client_id(queue, id):
    """A client id can be any text."""
    await queue.publish({"n": 1})
    assert numbers(await queue.poll_once(id)) == [1]
    await queue.publish({"n": 2})
    assert numbers(await queue.poll_once(id)) == [2]

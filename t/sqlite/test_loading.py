"""A channel is loaded when it is first used: immediately, or a little later if it is large."""

import asyncio
import time

import pytest
from message_queue.fakes import Taker, events, numbers
from support.answers import until

from tatsumaki_py import Error, MessageQueue
from tatsumaki_py.message_queue.event import encode


@pytest.mark.gen_test
async def test_a_large_backlog_is_loaded_late(program):
    """An event that is published while a large backlog is loaded reaches the client in order."""
    settings = {"backlog_length": 5000, "buffer_length": 5000}
    queue = program.start(**settings)
    await queue.publish(*events(*range(3000)))
    await program.stop()
    queue = program.start(**settings)
    taker = Taker()
    queue.poll("me", taker)
    await queue.publish({"n": 3000})
    await queue.ready()
    await until(lambda: taker.seen[-1:] == [3000])
    assert taker.seen == [*range(3001)]
    assert numbers(queue.backlog_events) == [*range(3001)]


@pytest.mark.gen_test
async def test_many_clients_come_back_to_one_place(program):
    """The file is read once for all clients. If one leaves, the others still get their events."""
    settings = {"backlog_length": 2}
    queue = program.start(**settings)
    ids = await queue.publish(*events(*range(100)))
    await program.stop()
    queue = program.start(**settings)
    asked = []
    feeds = program.engine._feeds
    answer = feeds._answer
    feeds._answer = lambda *args: (asked.append(args), answer(*args))
    calls = [asyncio.ensure_future(one(queue, ids[9])) for _ in range(50)]
    await asyncio.sleep(0)
    calls[0].cancel()
    for got in await asyncio.gather(*calls[1:]):
        assert got == [*range(10, 100)]
    assert len(asked) == 1


async def one(queue, cursor):
    return numbers(await queue.poll_once(None, last_event_id=cursor))


def test_without_a_loop(program):
    """If no loop is running, `publish` in the main thread has stored the events when it returns."""
    queue = program.start()
    assert len(queue.publish(*events(1, 2)).result()) == 2
    assert numbers(queue.backlog_events) == [1, 2]
    queue.publish({"n": 3}, idempotency_key="key")
    with pytest.raises(Error.HTTP, match="something else was published"):
        queue.publish({"n": 4}, idempotency_key="key")

    async def main():
        await queue.publish({"n": 5})
        return numbers(await queue.poll_once("me"))

    assert asyncio.run(main()) == [1, 2, 3, 5]
    queue.publish({"n": 6})
    assert asyncio.run(main()) == [6, 5]


def test_a_loop_that_ends_before_the_answer(program):
    """The events are stored, and are in the log when the queue is used again."""
    queue = program.start()

    async def publish():
        queue.publish({"n": 1})

    asyncio.run(publish())
    queue.publish({"n": 2})
    assert numbers(queue.backlog_events) == [1, 2]


@pytest.mark.gen_test
async def test_in_threads(program):
    """Other threads can open channels, and publish through the event loop."""
    program.start()
    taker = Taker()
    MessageQueue.instance("0").poll("me", taker)

    def publish(number):
        queue = MessageQueue.instance(str(number % 4))
        for n in range(20):
            queue.publish({"n": n}).result(10)

    await asyncio.gather(*(asyncio.to_thread(publish, number) for number in range(8)))
    for name in "0123":
        assert sorted(numbers(MessageQueue.instance(name).backlog_events)[-5:])[-1] == 19
    await until(lambda: len(taker.seen) == 40)


@pytest.mark.gen_test
async def test_a_channel_that_was_forgotten_here(program, monkeypatch):
    """A queue whose channel was released loads its events from the file again."""
    queue = program.start()
    ids = await queue.publish(*events(1, 2))
    queue._channel.release()
    assert numbers(await queue.poll_once(None, last_event_id=ids[0])) == [2]
    queue._channel.release()
    await queue.publish({"n": 3})
    assert numbers(queue.backlog_events) == [1, 2, 3]


@pytest.mark.gen_test
async def test_the_loop_goes_on(program):
    """Opening a hundred channels and storing an event of 100 kB in each does not block the loop."""
    program.start()
    body = encode({"text": "x" * 100_000})
    longest = 0.0

    async def watch():
        nonlocal longest
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0)
            longest = max(longest, time.perf_counter() - before)

    watching = asyncio.ensure_future(watch())
    calls = [MessageQueue.instance(str(n)).publish_json(body) for n in range(100)]
    begun = time.perf_counter()
    await asyncio.gather(*calls)
    watching.cancel()
    assert longest < max(0.05, (time.perf_counter() - begun) / 2)

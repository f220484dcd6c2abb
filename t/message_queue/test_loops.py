"""Queues outlive event loops: none relies on a closed loop or needs a loop to publish."""

import asyncio
import time

import pytest
from message_queue.fakes import FakePeer, Taker, events, numbers, turn

from tatsumaki_py import MessageQueue


@pytest.fixture(autouse=True)
def queue():
    """The queue of the only channel of these tests."""
    return MessageQueue.instance("loops")


def in_new_loop(function):
    """Run a coroutine function in a new loop, and close the loop without cleaning up."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(function())
    finally:
        loop.close()


def test_forgotten_by_the_next_loop(queue):
    """A client that left in a loop that was closed is forgotten in the next loop."""
    queue.reconnect_time = 0.02

    async def leave():
        queue.poll("first", Taker()).cancel()

    async def come():
        queue.poll("second", Taker())
        await asyncio.sleep(0.05)
        return [*queue.clients]

    try:
        in_new_loop(leave)
        assert [*queue.clients] == ["first"]
        assert in_new_loop(come) == ["second"]
    finally:
        del queue.reconnect_time


def test_given_up_by_the_next_loop(queue):
    """The place of an anonymous client that left in a closed loop is given up in the next loop."""
    queue.reconnect_time = 0.02

    async def leave():
        queue.poll(None, Taker()).cancel()

    async def come():
        queue.poll("second", Taker())
        await asyncio.sleep(0.05)
        return queue._registry.nameless

    try:
        in_new_loop(leave)
        assert queue._registry.nameless == 1
        assert in_new_loop(come) == 0
    finally:
        del queue.reconnect_time


@pytest.mark.parametrize("end", ["supersede", "disconnect", "cancel", "publish", "drop", "reset"])
@pytest.mark.parametrize("kind", ["once", "stream", "read stream", "async callback", "waiting"])
def test_listeners_of_a_closed_loop(queue, kind, end):
    """Any poll of a closed loop can be ended, and events can still be published and received."""
    polls = []

    async def listen():
        if kind == "once":
            polls.append(queue.poll_once("me"))
        elif kind == "async callback":

            async def callback(*events):
                pass

            polls.append(queue.poll("me", callback))
        else:
            polls.append(queue.poll("me"))
        if kind == "read stream":
            queue.publish({"n": 0})
            await anext(polls[0])
        elif kind == "waiting":
            coroutine = anext(polls[0])
            polls.append(coroutine)
            coroutine.__await__().send(None)

    async def poll_again():
        taker = Taker()
        queue.poll("me", taker)
        queue.publish({"n": 2})
        await turn()
        return taker.seen

    in_new_loop(listen)
    if end == "publish":
        asyncio.run(_publish(queue))
    elif end == "disconnect":
        queue.disconnect()
    elif end == "cancel":
        polls[0].cancel()
    elif end == "drop":
        polls.clear()
    elif end == "reset":
        MessageQueue.reset()
    assert in_new_loop(poll_again)[-1] == 2


async def _publish(queue):
    queue.publish({"n": 1})
    await turn()


def test_publish_without_a_loop(queue):
    """Events that are published before a loop runs reach new clients later."""
    queue.publish(*events(1, 2))
    queue.append_backlog({"n": 3})
    assert numbers(queue.backlog_events) == [1, 2, 3]

    async def poll():
        return numbers(await queue.poll_once("me"))

    assert asyncio.run(poll()) == [1, 2, 3]


def test_publish_between_two_runs_of_a_loop(queue):
    """A publish between two runs of a loop calls callbacks; coroutines get it in the next run."""
    loop = asyncio.new_event_loop()
    taker = Taker()

    async def listen():
        queue.poll("taker", taker)
        queue.poll("peer", peer.on_new_event)
        return (
            asyncio.ensure_future(once(queue.poll_once("once"))),
            asyncio.ensure_future(once(anext(queue.poll("stream")))),
            asyncio.ensure_future(turn(3)),
        )

    async def once(awaitable):
        return numbers(await awaitable)

    peer = FakePeer()
    try:
        tasks = loop.run_until_complete(listen())
        loop.run_until_complete(turn())
        queue.publish({"n": 1})
        assert taker.calls == peer.calls == [[1]]
        assert loop.run_until_complete(asyncio.gather(*tasks)) == [[1], [1], None]
    finally:
        loop.close()


def test_trimmed_without_a_loop(queue, monkeypatch):
    """Without a loop, publishing drops events that are old enough."""
    queue.backlog_length, queue.recovery_time = 1, 0.02
    monkeypatch.setattr("tatsumaki_py.message_queue.retention.GRAIN", 0.0)
    try:
        queue.publish(*events(1, 2, 3))
        assert len(queue._channel.log) == 3
        time.sleep(0.03)
        queue.publish({"n": 4})
        assert len(queue._channel.log) == 1
    finally:
        del queue.backlog_length, queue.recovery_time


def test_poll_without_a_loop(queue):
    """Polling without a running loop raises an error and leaves no client."""
    for poll in (queue.poll, queue.poll_once):
        with pytest.raises(RuntimeError, match="no running event loop"):
            poll("me", Taker())
    assert not queue.clients


def test_an_end_in_a_closed_loop(queue):
    """If a loop closes before an `end` has finished its streams, a later `end` still works."""

    async def end():
        queue.poll(None, Told())
        asyncio.get_running_loop().call_soon(queue.end)

    async def end_again():
        poll = queue.poll(None)
        queue.end()
        return [event async for events in poll for event in events]

    in_new_loop(end)
    assert len(in_new_loop(lambda: asyncio.wait_for(end_again(), 1))) == 2


class Told:
    def __call__(self, *events):
        pass

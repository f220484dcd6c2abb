"""Queues belong to the thread of the event loop; most methods raise an error in other threads."""

import asyncio
import gc
import sys
import threading

import pytest
from message_queue.fakes import Taker, turn

from tatsumaki_py import MessageQueue


def in_thread(function):
    """Run `function` in a new thread and return the exception that it raises, or None."""
    raised = []

    def run():
        try:
            function()
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return raised[0] if raised else None


@pytest.mark.parametrize("method", ["flush_events", "disconnect"])
@pytest.mark.gen_test
async def test_another_thread(queue, method):
    """In another thread, the method raises an error that says what to use, and changes nothing."""
    taker = Taker()
    queue.poll("me", taker)
    arguments = {"disconnect": (), "flush_events": ("me", {"n": 1})}[method]
    error = in_thread(lambda: getattr(queue, method)(*arguments))
    assert isinstance(error, RuntimeError)
    assert f"use loop.call_soon_threadsafe(mq.{method}, ...)" in str(error)
    assert taker.calls == []
    await queue.publish({"n": 2})
    assert taker.calls == [[2]]


@pytest.mark.gen_test
async def test_another_loop(queue):
    """While this loop is running, a loop in another thread cannot poll."""
    queue.poll("me", Taker())

    async def poll():
        queue.poll_once("other")

    error = in_thread(lambda: asyncio.run(poll()))
    assert "poll() was called outside of" in str(error)
    assert [*queue.clients] == ["me"]


@pytest.mark.engines("memory")  # the other engines need a running loop
@pytest.mark.gen_test
async def test_the_mend(queue):
    """`loop.call_soon_threadsafe(queue.publish, ...)` in another thread publishes the event."""
    taker, loop = Taker(), asyncio.get_running_loop()
    queue.poll("me", taker)
    assert in_thread(lambda: loop.call_soon_threadsafe(queue.publish, {"n": 1})) is None
    await turn()
    assert taker.calls == [[1]]


@pytest.mark.engines("memory")  # the other engines need a running loop
def test_a_loop_in_a_thread(queue):
    """After the first loop has ended, a loop in another thread can use the queues."""
    asyncio.run(turn())
    got = []

    async def talk():
        queue.poll("me", lambda *events: got.extend(events))
        queue.publish({"n": 1})

    assert in_thread(lambda: asyncio.run(talk())) is None
    assert got == [{"n": 1}]


@pytest.mark.engines("memory")  # the other engines need a running loop
@pytest.mark.gen_test
async def test_before_anybody_listens(queue):
    """The loop that first uses a queue owns it, even before any client listens."""
    queue.publish({"n": 1})
    assert "outside of the event loop" in str(in_thread(queue.disconnect))


@pytest.mark.gen_test
async def test_cancel_in_another_thread(queue):
    """`cancel` in another thread raises an error, and the poll continues."""
    taker = Taker()
    poll = queue.poll("me", taker)
    assert "use loop.call_soon_threadsafe(poll.cancel, ...)" in str(in_thread(poll.cancel))
    await queue.publish({"n": 1})
    assert taker.calls == [[1]]


@pytest.mark.gen_test
async def test_collected_in_another_thread(queue):
    """If another thread collects a dropped poll, the poll ends in the thread of the loop."""
    left = []
    cycle = [queue.poll("me", on_unsubscribe=lambda: left.append(threading.get_ident()))]
    cycle.append(cycle)
    del cycle
    assert in_thread(gc.collect) is None
    await turn()
    assert left == [threading.get_ident()]
    assert queue.subscribers == 0


def test_one_queue_for_a_name():
    """Threads that call `instance` with one name at the same time get the same queue."""
    names, found = [f"channel{number}" for number in range(300)], []

    def ask():
        found.append([MessageQueue.instance(name) for name in names])

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert len(found) == 8
    assert all(len(set(queues)) == 1 for queues in zip(*found, strict=True))

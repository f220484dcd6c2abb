"""Clients and channels that are no longer used leave nothing behind."""

import asyncio
import gc
import tracemalloc

import pytest
from message_queue.fakes import FakePeer, Taker, events

from tatsumaki_py import MessageQueue


def timers():
    """The active timers of the running loop that belong to the package."""
    scheduled = asyncio.get_running_loop()._scheduled
    return [handle for handle in scheduled if not handle.cancelled() and ours(handle)]


def ours(handle):
    return getattr(handle._callback, "__module__", "").startswith("tatsumaki_py")


def channels():
    """The existing channels of these tests. (A traceback in a log may hold other channels.)"""
    return [queue for queue in MessageQueue.channels() if queue.channel.startswith("left")]


def use(room):
    queue = MessageQueue.instance(f"left{room}")
    queue.publish({"n": room, "text": "x" * 1000})
    peer = FakePeer()
    queue.poll_once(f"once{room}", peer.answer)
    queue.poll(f"stream{room}", (gone := FakePeer()).on_new_event)
    gone.leave()
    queue.poll(f"taker{room}", Taker()).cancel()


@pytest.mark.engines("memory")  # forgetting the events here forgets them everywhere
@pytest.mark.gen_test
async def test_a_thousand_rooms(engine, clock):
    """Clients are freed after `reconnect_time`; channels and timers after `idle_timeout`."""
    counts = []
    tracemalloc.start()
    try:
        for _ in range(3):
            for room in range(1000):
                use(room)
            assert len(channels()) == 1000
            await clock.advance(MessageQueue.reconnect_time + 1)
            assert not any(queue.clients for queue in channels())
            await clock.advance(MessageQueue.idle_timeout + 1)
            gc.collect()
            assert channels() == []
            assert timers() == []
            counts.append((len(gc.get_objects()), tracemalloc.get_traced_memory()[0]))
    finally:
        tracemalloc.stop()
    (_, _), (objects, memory), (more_objects, more_memory) = counts
    assert more_objects - objects < 100
    assert more_memory - memory < 100_000
    registry = MessageQueue._registry
    assert (registry.clients, registry.active, registry.deserted) == (0, {}, {})


@pytest.mark.gen_test
async def test_rooms_that_were_only_asked_for(engine, clock):
    """A channel without events is freed with its last client, after `reconnect_time`."""
    for room in range(100):
        MessageQueue.instance(f"left{room}").poll_once("me", Taker()).cancel()
    assert len(channels()) == 100
    await clock.advance(31)
    assert channels() == []


@pytest.mark.gen_test
async def test_instance_alone_keeps_nothing(engine):
    """`instance` alone keeps no channel; a queue that the program holds stays the same object."""
    for room in range(100):
        assert MessageQueue.instance(f"left{room}").backlog_events == []
    assert channels() == []
    held = MessageQueue.instance("left held")
    assert MessageQueue.instance("left held") is held
    assert channels() == [held]


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.gen_test
async def test_idle_timeout(make_queue, clock):
    """A channel is forgotten `idle_timeout` seconds after its last event or client, not before."""
    make_queue("room", idle_timeout=100.0)
    room = MessageQueue.instance("room")
    await room.publish({"n": 1})
    await clock.advance(90)
    await room.publish({"n": 2})
    await clock.advance(90)
    assert len(room.backlog_events) == 2
    poll = room.poll("me", Taker())
    await clock.advance(1000)
    assert len(room.backlog_events) == 2
    poll.cancel()
    await clock.advance(31)
    await clock.advance(90)
    assert len(room.backlog_events) == 2
    await clock.advance(11)
    assert room.backlog_events == []


@pytest.mark.engines("memory", "distant")  # the test checks the log without a client
@pytest.mark.gen_test
async def test_idle_timeout_is_shorter_than_the_recovery_time(make_queue, clock):
    """A channel is forgotten after `idle_timeout` even if its `recovery_time` is longer."""
    room = make_queue(idle_timeout=100.0, recovery_time=float("inf"), backlog_length=1)
    await room.publish(*events(1, 2, 3))
    await clock.advance(90)
    assert await room.poll_once(None, timeout=0)
    await clock.advance(31)
    await clock.advance(90)
    assert len(room._channel.log) == 3
    await clock.advance(11)
    assert len(room._channel.log) == 0


@pytest.mark.gen_test
async def test_no_timer_while_all_listen(queue):
    """Clients that listen need no timer, except for a long poll with a timeout."""
    queue.poll("stream", Taker())
    queue.poll_once("once", Taker(), timeout=float("inf"))
    assert timers() == []
    queue.poll_once("once", Taker(), timeout=10)
    assert len(timers()) == 1


@pytest.mark.gen_test
async def test_one_timer_for_all(queue):
    """All absent clients of a channel share one timer."""
    for i in range(50):
        await queue.poll_once(f"client{i}", timeout=0)
        queue.publish({"n": i})
    assert len(timers()) == 1

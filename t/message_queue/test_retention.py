"""A channel keeps the backlog, and the events that clients expected back have not received."""

import asyncio
from functools import partial

import pytest
from message_queue.fakes import FakePeer, Taker, events, numbers


def kept(queue):
    """The number of events in the log."""
    return len(queue._channel.log)


@pytest.mark.gen_test
async def test_backlog_only(make_queue):
    """If no client is behind, only the newest `backlog_length` events are kept."""
    queue = make_queue(backlog_length=3, recovery_time=0, reconnect_time=0)
    queue.poll("stream", Taker())
    for n in range(20):
        await queue.publish({"n": n})
    assert kept(queue) == 3


@pytest.mark.gen_test
async def test_shrinks_when_the_client_has_returned(make_queue, clock):
    """Events kept for one client are dropped when it has them and `reconnect_time` has passed."""
    queue = make_queue(backlog_length=3, recovery_time=0)
    await queue.poll_once("me", timeout=0)
    await queue.publish(*events(*range(20)))
    assert kept(queue) == 20
    assert len(await queue.poll_once("me")) == 20
    await queue.publish({"n": 20})
    assert kept(queue) == 21
    await clock.advance(33)
    assert kept(queue) == 3


@pytest.mark.parametrize("others", [False, True])
@pytest.mark.gen_test
async def test_shrinks_when_the_client_is_forgotten(make_queue, clock, others):
    """The log shrinks when an absent client is forgotten, without any call of the queue."""
    queue = make_queue(backlog_length=3, recovery_time=0)
    if others:
        queue.poll("stream", Taker())
    await queue.poll_once("me", timeout=0)
    await queue.publish(*events(*range(20)))
    await clock.advance(33)
    assert "me" not in queue.clients
    assert kept(queue) == 3


@pytest.mark.gen_test
async def test_oldest_place_counts(make_queue, clock):
    """With several slow clients, the log keeps all events that the client farthest behind needs,
    for any length of time.
    """
    queue = make_queue(backlog_length=1, recovery_time=0)
    slow = {name: [] for name in "ab"}
    for number, name in enumerate("ab"):
        consume = partial(work, slow[name])
        queue.poll(name, consume, last_event_id=queue.cursor())
        await queue.publish(*events(number, number))
        await clock.advance(100)
    await queue.publish({"n": 2})
    assert kept(queue) == 5
    for _ in range(2):
        slow["a"].pop().set_result(None)
        await clock.advance(0)
    await clock.advance(100)
    await queue.publish({"n": 3})
    assert kept(queue) == 4
    for _ in range(2):
        slow["b"].pop().set_result(None)
        await clock.advance(0)
    await clock.advance(100)
    assert kept(queue) == 1


def work(works, *batch):
    """A callback whose work is done when the future that it appends to `works` is done."""
    works.append(asyncio.get_running_loop().create_future())
    return works[-1]


@pytest.mark.gen_test
async def test_delivery_under_way_keeps_its_events(make_queue):
    """The events of an answer are kept until it is complete."""
    queue = make_queue(backlog_length=1, recovery_time=0)
    peer = FakePeer()
    queue.poll_once("me", peer.on_new_event)
    await queue.publish(*events(1, 2, 3))
    await queue.publish({"n": 4})
    peer.leave()
    assert numbers(await queue.poll_once("me")) == [1, 2, 3, 4]


@pytest.mark.engines("memory")  # all events are in this process
@pytest.mark.gen_test
async def test_time_to_live(make_queue, monkeypatch):
    """New clients get no events older than `time_to_live`; a client that missed some gets a gap."""
    now = 1_800_000_000.0
    monkeypatch.setattr("time.time", lambda: now)
    monkeypatch.setattr("time.time_ns", lambda: int(now * 1e9))
    queue = make_queue(time_to_live=10.0)
    await queue.poll_once("me", timeout=0)
    await queue.publish({"n": 1})
    now += 6
    await queue.publish({"n": 2})
    assert numbers(queue.backlog_events) == [1, 2]
    now += 6
    assert numbers(queue.backlog_events) == [2]
    assert numbers(await queue.poll_once("new")) == [2]
    assert numbers(await queue.poll_once("me")) == ["gap", 2]
    now += 6
    assert queue.backlog_events == []
    assert await queue.poll_once("newer", timeout=0) == []
    assert await queue.poll_once("me", timeout=0) == []

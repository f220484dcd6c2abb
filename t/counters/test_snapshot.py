"""`Snapshot`: the counters at one moment, as plain numbers."""

import asyncio
import math
import time

import pytest

from tatsumaki_py import MessageQueue, Snapshot
from tatsumaki_py.counters import COUNTERS
from tatsumaki_py.push.transports import TRANSPORTS


def test_take(io_loop):
    """A snapshot has all transports, and does not change when a counter changes."""
    io_loop.run_sync(look)


async def look():
    before = Snapshot.take()
    assert {*TRANSPORTS, "stream"} <= before.connections.keys()
    for one in ("connections_opened", "connections_ended", "sent_bytes", "events_delivered"):
        assert getattr(before, one).keys() == before.connections.keys()
    COUNTERS.refused["rate"] += 1
    COUNTERS.delivery.observe(0.02, 3)
    MessageQueue.instance("room").publish("x")
    now = Snapshot.take()
    assert now.refused["rate"] - before.refused["rate"] == 1
    assert now.events_published - before.events_published == 1
    assert (now.channels, now.clients) == (1, 0)
    assert now.log_bytes > 0
    assert now.time >= before.time
    durations = now.delivery_seconds.since(before.delivery_seconds)
    assert durations.count == durations.buckets[math.inf] == durations.buckets[0.025] == 3
    assert durations.buckets[0.01] == 0
    assert durations.average == pytest.approx(0.02)
    assert now.delivery_seconds.since(now.delivery_seconds).average is None


def test_recent_loop_lag(io_loop):
    """The lag rises as soon as a callback has blocked the event loop."""
    io_loop.run_sync(hold)


async def hold():
    Snapshot.take()
    await asyncio.sleep(0.2)
    time.sleep(0.15)
    assert 0.05 < Snapshot.take().recent_loop_lag < 5


def test_without_a_loop():
    """`take` raises a RuntimeError without a running event loop, whose lag it measures."""
    with pytest.raises(RuntimeError, match="no running event loop"):
        Snapshot.take()

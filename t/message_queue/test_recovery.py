"""Recent events are always kept, as some may have been on their way when a connection was lost."""

import pytest
from message_queue.fakes import FakePeer, Taker, events, numbers

from tatsumaki_py import MessageQueue


@pytest.mark.gen_test
async def test_on_its_way(queue):
    """A client that reconnects with an old cursor gets all recent events after it."""
    ids = await queue.publish(*events(0, 1))
    peer = FakePeer()
    queue.poll("me", peer.on_new_event)
    for number in range(2, 500):
        await queue.publish({"n": number})
    peer.leave()
    got = await queue.poll_once("me", last_event_id=ids[1])
    assert numbers(got) == list(range(2, 500))


@pytest.mark.gen_test
async def test_a_page_that_comes_late(queue):
    """A client gets all events since the cursor in its page, even more than the backlog."""
    await queue.ready()
    cursor = queue.cursor()
    await queue.publish(*events(*range(500)))
    assert numbers(await queue.poll_once(None, last_event_id=cursor)) == list(range(500))
    assert numbers(await queue.poll_once(None)) == list(range(470, 500))


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.parametrize("listens", [True, False])
@pytest.mark.gen_test
async def test_for_a_time(queue, clock, listens):
    """After `recovery_time`, only the backlog is kept, whether a client listens or not."""
    if listens:
        queue.poll("me", Taker())
    for number in range(100):
        await queue.publish({"n": number})
        await clock.advance(0.29)
    assert len(queue._channel.log) == 100
    await clock.advance(15)
    await queue.publish({"n": 100})
    # The last 15 s, and up to 1.2 s more, as the log is not trimmed for each event.
    assert 15 / 0.29 <= len(queue._channel.log) <= 16.2 / 0.29 + 1
    await clock.advance(31)
    assert len(queue._channel.log) == 30


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.gen_test
async def test_within_bounds(queue):
    """At most `buffer_length` events are kept; a client that lost some gets a gap."""
    await queue.ready()
    cursor = queue.cursor()
    await queue.publish(*events(*range(1500)))
    assert len(queue._channel.log) == 1000
    got = await queue.poll_once(None, last_event_id=cursor)
    assert numbers(got) == ["gap", *range(500, 1500)]


@pytest.mark.engines("memory")  # this engine keeps all events here and limits channels
@pytest.mark.gen_test
async def test_a_channel_that_is_needed_less(queue, monkeypatch):
    """A channel without listeners makes room for others even if its events are recent."""
    monkeypatch.setattr(MessageQueue, "max_channels", 2)
    await queue.publish({"n": 1})
    for name in ("other", "third"):
        await MessageQueue.instance(name).publish({"n": 1})
    assert queue not in MessageQueue._registry.active.values()
    assert (len(queue._channel.log), queue._channel.log.size) == (0, 0)

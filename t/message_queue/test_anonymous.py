"""An anonymous client cannot be looked up by name, but the events after its place are kept."""

import pytest
from message_queue.fakes import FakePeer

from tatsumaki_py import MessageQueue


def events(*numbers):
    return [{"n": number} for number in numbers]


@pytest.fixture
def room():
    queue = MessageQueue.instance("room")
    queue.backlog_length = 2
    queue.recovery_time = 0
    return queue


def numbers(events):
    return ["gap" if event.gap else event["n"] for event in events]


@pytest.mark.parametrize("names", [("room",), ("room", "other")])
@pytest.mark.gen_test
async def test_the_place_is_kept(room, clock, names):
    """All events after the place of an anonymous client are kept for `reconnect_time`, and trimmed
    after that."""
    queue = MessageQueue.instance(*names)
    await room.publish({"n": 0})
    assert numbers(await queue.poll_once(None)) == [0]
    await queue.ready()
    cursor = queue.cursor()
    assert not queue.clients
    await room.publish(*events(*range(1, 21)))
    await clock.advance(29)
    later = await queue.poll_once(None, last_event_id=cursor)
    assert numbers(later) == list(range(1, 21))
    # The later poll has a new place. The old place is no longer kept.
    await clock.advance(2)
    assert numbers(await queue.poll_once(None, last_event_id=cursor))[0] == "gap"
    await clock.advance(31)
    await clock.advance(31)
    assert len(room.backlog_events) == len(room._channel.log) == 2


@pytest.mark.gen_test
async def test_thousands_are_one_place(room):
    """Anonymous clients that poll at the same cursor share one place."""
    await room.publish({"n": 0})
    for _ in range(2000):
        await room.poll_once(None, timeout=0)
    assert (len(room.clients), room.subscribers) == (0, 0)
    assert (room._registry.clients, room._registry.nameless) == (0, 1)


@pytest.mark.gen_test
async def test_places_are_bounded(room):
    """Anonymous polls, each with a new cursor, do not add up to many places."""
    room.buffer_length = 5000
    for number in range(1500):
        await room.publish({"n": number})
        await room.poll_once(None, timeout=0, last_event_id=room.cursor())
    assert room._registry.nameless == 1
    assert len(room._channel.log) <= 1500


@pytest.mark.gen_test
async def test_streams(room, clock):
    """Events that follow the end of an anonymous stream are kept for `reconnect_time`."""
    got = []
    poll = room.poll(None, lambda *events: got.extend(numbers(events)))
    await room.publish(*events(1, 2))
    poll.cancel()
    await room.ready()
    cursor = room.cursor()
    await room.publish(*events(*range(3, 10)))
    await clock.advance(29)
    assert numbers(await room.poll_once(None, last_event_id=cursor)) == list(range(3, 10))
    assert got == [1, 2]


@pytest.mark.gen_test
async def test_a_channel_is_freed(room, clock):
    """A channel with the place of an anonymous client is not deserted, and is freed when the place
    expires."""
    room.poll(None, lambda *events: None).cancel()
    assert MessageQueue.channels() == [room]
    assert room._registry.deserted == {}
    await clock.advance(31)
    assert room._registry.active == {}


@pytest.mark.gen_test
async def test_the_place_is_given_up_while_others_come_and_go(room, clock):
    """The place of a client that left long ago is given up even if other clients keep leaving."""
    room.reconnect_time = 10
    await room.publish({"n": 0})
    peer = FakePeer()
    # The client leaves before the events of its call have arrived.
    room.poll_once(None, peer.on_new_event)
    peer.leave()
    for n in range(1, 50):
        await room.publish({"n": n})
        await clock.advance(1)
        await room.poll_once(None, timeout=0)
    assert len(room._channel.log) <= 2 * 10 + 3

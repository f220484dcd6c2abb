"""Ids increase whatever the clock does, and the ids of two processes differ."""

import pytest
from message_queue.fakes import numbers

from tatsumaki_py import MessageQueue
from tatsumaki_py.message_queue.engine import memory
from tatsumaki_py.message_queue.ids import NOWHERE, Ids, normalized, position


@pytest.mark.parametrize(
    "id",
    ["1", "1-", "-1", "1-0-0", " 1-0", "1-0\n", "a-0", "+1-0", "\u0661-0", "1" * 21 + "-0", "$"],
)
def test_no_id(id):
    """A malformed id raises a ValueError in `position`; `normalized` turns it into `NOWHERE`."""
    with pytest.raises(ValueError, match="not an event id"):
        position(id)
    assert normalized(id) == NOWHERE
    assert normalized("1-2") == "1-2"


@pytest.mark.gen_test
async def test_clock_steps_back(queue, monkeypatch):
    """Ids increase strictly even if the clock goes back, and events stay in order."""
    ids = []
    for seconds in (2000, 2000, 1000, 1000.001, 2000, 2000.001):
        monkeypatch.setattr("time.time_ns", lambda now=seconds: int(now * 1e9))
        monkeypatch.setattr("time.time", lambda now=seconds: now)
        ids += await queue.publish({"n": 1}, {"n": 2})
    assert [*map(position, ids)] == sorted({*map(position, ids)})
    assert [event.id for event in await queue.poll_once("new")] == ids


def test_two_lives(monkeypatch):
    """The ids of two processes differ even if the clock was set back between them."""
    now = iter([*range(1000, 1100)] * 2)
    monkeypatch.setattr("time.time_ns", lambda: next(now) * 1_000_000)
    lives = [{ids.next() for _ in range(100)} for ids in (Ids(), Ids())]
    assert len(lives[0] | lives[1]) == 200


@pytest.mark.parametrize("names", [("room",), ("other", "room")])
@pytest.mark.gen_test
async def test_the_beginning_of_a_channel_is_of_a_life(names):
    """A client without events that missed an event and a restart gets a gap."""
    cursor = MessageQueue.instance(*names).cursor()
    await MessageQueue.instance("room").publish({"n": 1})
    MessageQueue.reset()
    again = MessageQueue.instance(*names)
    assert "gap" in numbers(await again.poll_once(None, timeout=0, last_event_id=cursor))


@pytest.mark.gen_test
async def test_a_channel_that_is_forgotten(clock):
    """After a channel was forgotten, a client gets a gap unless it had all of its events."""
    cursors = [MessageQueue.instance("room").cursor()]
    for n in (1, 2):
        cursors += await MessageQueue.instance("room").publish({"n": n})
    await clock.advance(2 * MessageQueue.idle_timeout)
    assert not MessageQueue.channels()
    got = [
        numbers(
            await MessageQueue.instance("room").poll_once(None, timeout=0, last_event_id=cursor)
        )
        for cursor in (*cursors, NOWHERE)
    ]
    assert got == [["gap"], ["gap"], [], ["gap"]]


@pytest.mark.gen_test
async def test_more_forgotten_channels_than_are_known(monkeypatch, clock):
    """A client of a forgotten channel beyond the bound gets a gap, even if it had all events."""
    monkeypatch.setattr(memory, "MAX_TOPS", 2)
    cursors = {}
    for name in ("never used", *"abc"):
        cursors[name] = [MessageQueue.instance(name).cursor()]
    for name in "abc":
        cursors[name] += await MessageQueue.instance(name).publish({"n": 1})
    await clock.advance(2 * MessageQueue.idle_timeout)
    got = {
        name: [
            numbers(await MessageQueue.instance(name).poll_once(None, timeout=0, last_event_id=id))
            for id in ids
        ]
        for name, ids in cursors.items()
    }
    assert got["a"] == [["gap"], ["gap"]]
    assert got["b"] == got["c"] == [["gap"], []]
    assert got["never used"] == [["gap"]]

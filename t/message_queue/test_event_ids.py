"""Ids grow, whatever the clock does, and what is none is refused."""

import pytest

from tatsumaki_py import Error
from tatsumaki_py.message_queue.event import START, next_id, position


@pytest.mark.parametrize(
    ("top", "now", "id"),
    [
        (START, 1000, "1000-0"),
        ("1000-0", 1001, "1001-0"),
        ("1000-0", 1000, "1000-1"),
        ("1000-9", 1000, "1000-10"),
        ("1000-9", 10, "1000-10"),
    ],
)
def test_next_id(top, now, id):
    """By the clock, else counted on."""
    assert next_id(top, now) == id
    assert position(id) > position(top)


@pytest.mark.parametrize(
    "id",
    ["1", "1-", "-1", "1-0-0", " 1-0", "1-0\n", "a-0", "+1-0", "\u0661-0", "1" * 21 + "-0", "$"],
)
def test_no_id(id):
    """A 400 that does not repeat what was sent, and a ValueError for Python's callers."""
    with pytest.raises(Error.HTTP, match="last_event_id is not an event id") as caught:
        position(id)
    assert caught.value.code == 400
    assert isinstance(caught.value, ValueError)


@pytest.mark.gen_test
async def test_clock_steps_back(queue, monkeypatch):
    """Ids increase strictly when the time of day goes back, and events stay in order."""
    ids = []
    for seconds in (2000, 2000, 1000, 1000.001, 2000, 2000.001):
        monkeypatch.setattr("time.time_ns", lambda now=seconds: int(now * 1e9))
        monkeypatch.setattr("time.time", lambda now=seconds: now)
        ids += await queue.publish({"n": 1}, {"n": 2})
    assert [*map(position, ids)] == sorted({*map(position, ids)})
    assert [event.id for event in await queue.poll_once("new")] == ids

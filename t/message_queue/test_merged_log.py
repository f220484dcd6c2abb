"""A `MergedLog` is a view of several logs, in which each event occurs once and in order."""

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tatsumaki_py.message_queue.event import Entry
from tatsumaki_py.message_queue.ids import position
from tatsumaki_py.message_queue.log import EventLog
from tatsumaki_py.message_queue.merged_log import MergedLog

NAMES = ("a", "b", "ü")


def make(count=3):
    logs = [EventLog(name, start="0-0") for name in NAMES[:count]]
    return logs, MergedLog(logs)


def next_id(top, now):
    last = position(top)
    return f"{now}-0" if (now, 0) > last else f"{last[0]}-{last[1] + 1}"


def append(log, now, n=0):
    id = next_id(log.top, now)
    log.append(Entry(b'{"n":%d}' % n, id, log.top, channel=log.channel))


# Each step publishes an event: the index of its channel, and the change of the clock before it.
happenings = st.lists(st.tuples(st.integers(0, 2), st.integers(-2, 3)), max_size=30)


def filled(steps):
    logs, merged = make()
    now = 100
    for n, (index, ahead) in enumerate(steps):
        now += ahead
        append(logs[index], now, n)
    return logs, merged


@given(happenings, st.data())
def test_every_event_once(steps, data):
    """Reading in pieces of any size yields all events of each channel in its order."""
    logs, merged = filled(steps)
    cursor = merged.since("0-0,0-0,0-0")[0].prev if steps else merged.top
    assert cursor == "0-0,0-0,0-0"
    got = []
    while events := merged.since(cursor):
        piece = events[: data.draw(st.integers(1, len(events)))]
        got += piece
        cursor = piece[-1].id
    assert cursor == merged.top
    for log in logs:
        mine = [event for event in got if event.channel == log.channel]
        assert [event.json for event in mine] == [event.json for event in log.newest(100)]
        assert [event.id.split(",")[NAMES.index(log.channel)] for event in mine] == [
            event.id for event in log.newest(100)
        ]


@given(happenings)
def test_in_the_order_of_time(steps):
    """Events of several channels are ordered by their ids, and then by channel name."""
    _, merged = filled(steps)
    events = merged.since("0-0,0-0,0-0")
    order = []
    for event in events:
        index = NAMES.index(event.channel)
        order.append((position(event.id.split(",")[index]), index))
    assert order == sorted(order)
    assert [event.prev for event in events] == [
        "0-0,0-0,0-0",
        *(event.id for event in events[:-1]),
    ][: len(events)]


@given(happenings, st.data())
def test_loss(steps, data):
    """Each channel that dropped events yields one gap, and the other channels lose nothing."""
    logs, merged = filled(steps)
    cursor = "0-0,0-0,0-0"
    known = [cursor, *(event.id for event in merged.since(cursor))]
    cursor = data.draw(st.sampled_from(known))
    before = {log.channel: list(log.newest(100)) for log in logs}
    for log in logs:
        log.trim(data.draw(st.integers(0, 5)), 0, 10**6)
    got = merged.since(cursor)
    for index, log in enumerate(logs):
        part = cursor.split(",")[index]
        missed = [event for event in before[log.channel] if position(event.id) > position(part)]
        kept = list(log.newest(100))
        gaps = [event for event in got if event.channel == log.channel and event.gap]
        mine = [event for event in got if event.channel == log.channel and not event.gap]
        assert len(gaps) == (len(missed) > len(kept))
        mine = [event.json for event in mine]
        assert mine == [event.json for event in missed][-len(kept) :] if kept else not mine
        if gaps:
            first = next(event for event in got if event.channel == log.channel)
            assert first is gaps[0]
    for before_it, event in zip((cursor, *(event.id for event in got)), got, strict=False):
        assert event.prev == before_it
    assert (got[-1].id if got else cursor) == merged.top
    assert merged.since(merged.top) == ()


def test_event():
    """An event equals the published value and knows its channel, which its payload contains."""
    logs, merged = make(2)
    append(logs[0], 5, 1)
    append(logs[1], 5, 2)
    event = merged.since("5-0,0-0")[0]
    assert event.event() == {"n": 2}
    assert (event.id, event.prev, event.channel) == ("5-0,5-0", "5-0,0-0", "b")
    assert (event.log, event.gap) == (("a", "b"), False)
    assert event.json is logs[1].newest(1)[0].json
    assert event.payload == b'{"channel":"b","data":{"n":2}}'
    assert event.envelope == b'{"id":"5-0,5-0","channel":"b","data":{"n":2}}'
    with pytest.raises(TypeError, match="read-only"):
        event.event()["n"] = 3


def test_gap():
    """A gap contains the channel, the lost cursor and the id to resume from, and is not wrapped."""
    logs, merged = make(2)
    append(logs[0], 5)
    append(logs[1], 6)
    (gap, event) = merged.since("5-0,4-0")
    assert gap.event() == {"type": "gap", "after": "5-0,4-0", "id": "5-0,0-0", "channel": "b"}
    assert (gap.gap, gap.id, gap.prev, gap.channel) == (True, "5-0,0-0", "5-0,4-0", "b")
    assert gap.log == ("a", "b")
    assert json.loads(gap.payload) == json.loads(gap.envelope) == gap.event()
    assert (event.gap, event.id) == (False, "5-0,6-0")


def test_name_in_json():
    """Any channel name is encoded as valid JSON."""
    for name in ('"', "\\", "ü", "\udc80"):
        log = EventLog(name, start="0-0")
        append(log, 1)
        merged = MergedLog([log, EventLog("~", start="0-0")])
        (event,) = merged.since("0-0,0-0")
        (gap, _) = merged.since("0-1,0-0")
        assert json.loads(event.payload)["channel"] == name
        assert json.loads(gap.payload)["channel"] == name


@pytest.mark.parametrize(
    ("cursor", "parts"),
    [
        ("", "0-0,0-0"),
        ("1-0", "0-0,0-0"),
        ("1-0,", "1-0,0-0"),
        (",1-0", "0-0,1-0"),
        ("1-0,1-0,1-0", "0-0,0-0"),
        ("1-0, 1-0", "1-0,0-0"),
        ("1-0;1-0", "0-0,0-0"),
        ("a,b", "0-0,0-0"),
        ("1-0,-1-0", "1-0,0-0"),
        ("1-0,2-0", "1-0,2-0"),
    ],
)
def test_normalized(cursor, parts):
    """`normalized` returns one id per channel: 0-0 for a bad id, or for a wrong number of ids."""
    _, merged = make(2)
    assert merged.normalized(cursor) == parts


def test_the_same_events_for_all():
    """Reading from the same place returns the same objects until the logs change."""
    logs, merged = make(2)
    for now in range(1, 20):
        append(logs[now % 2], now)
    places = ["0-0,0-0", *(event.id for event in merged.since("0-0,0-0"))][:4]
    first = [merged.since(place) for place in places]
    assert all(merged.since(place) is events for place, events in zip(places, first, strict=True))
    append(logs[0], 30)
    assert [len(merged.since(place)) for place in places] == [len(events) + 1 for events in first]
    logs[0].trim(0, 0, 0)
    assert any(event.gap for event in merged.since(places[0]))


def test_nothing_is_stored_for_each_place():
    """Reading from many different places does not make the merged log grow."""
    logs, merged = make(2)
    for now in range(1, 100):
        append(logs[now % 2], now)
    for event in merged.since("0-0,0-0"):
        merged.since(event.id)
    assert len(merged._read) <= 4


def test_not_more_than_an_answer_at_once():
    """One call of `since` returns about 1 MiB at most; later calls return the rest."""
    logs, merged = make(3)
    for log in logs:
        for n in range(1000):
            id = next_id(log.top, 1)
            body = b'{"n":%d,"text":"%b"}' % (n, b"x" * 3000)
            log.append(Entry(body, id, log.top, channel=log.channel))
    cursor, got = "0-0,0-0,0-0", []
    while events := merged.since(cursor):
        assert sum(len(event.json) for event in events) < 1100_000
        got += events
        cursor = events[-1].id
    assert cursor == merged.top
    for log in logs:
        mine = [event.event()["n"] for event in got if event.channel == log.channel]
        assert mine == list(range(1000))


def test_part():
    """`part` returns the id of one channel in a cursor."""
    logs, merged = make(2)
    for log, part in zip(logs, ("5-0", "7-0"), strict=True):
        assert merged.part("5-0,7-0", log.channel) == part


def test_small_events_of_many_channels():
    """The bounds of a read and of the read cache count the long cursors of the events."""
    logs = [EventLog(f"channel{n:02}", start="0-1") for n in range(20)]
    for log in logs:
        for now in range(1_000_000_000_000, 1_000_000_000_300):
            log.append(Entry(b"{}", f"{now}-100000000000", log.top, channel=log.channel))
    merged = [MergedLog([other for other in logs if other is not log]) for log in logs]
    tracemalloc.start()
    try:
        for view in merged:
            cursor, got = ",".join(["0-1"] * 19), 0
            while cursor != view.top:
                events = view.since(cursor)
                assert len(events) < 2000
                cursor, got = events[-1].id, got + len(events)
            assert got == 19 * 300
        del events
        assert tracemalloc.get_traced_memory()[0] < 10_000_000
    finally:
        tracemalloc.stop()

"""The log keeps what somebody may ask for, in order, and nothing grows without a bound."""

import pytest

from tatsumaki_py.message_queue.event import Entry
from tatsumaki_py.message_queue.ids import position
from tatsumaki_py.message_queue.log import EventLog


def make(count, log=None):
    log = log or EventLog(start="0-0")
    first = position(log.top)[0] + 1
    for i in range(first, first + count):
        log.append(Entry(b'{"n":%d}' % i, f"{i}-0", log.top))
    return log


def trim(log, backlog=3, buffer=10, size=10**6, **options):
    log.trim(backlog, buffer, size, **options)
    return ids(log.newest(10**6))


def ids(events):
    return [f"gap {event.id}" if event.gap else event.id for event in events]


def span(first, last):
    return [f"{i}-0" for i in range(first, last + 1)]


def test_since():
    """After any cursor there is, the rest; at the top nothing."""
    log = make(5)
    for cursor in range(6):
        assert ids(log.since(f"{cursor}-0")) == span(cursor + 1, 5)


@pytest.mark.parametrize("cursor", ["1-0", "0-0", "3-1", "2-5", "9-0", "3-00", "03-0"])
def test_unknown_cursor(cursor):
    """One that is not (or not any more) in the log gets a gap, then all there is."""
    log = make(5)
    assert trim(log) == span(3, 5)
    assert ids(log.since(cursor)) == ["gap 2-0", "3-0", "4-0", "5-0"]
    assert log.since(cursor)[0].event()["after"] == cursor


def test_floor():
    """The cursor right before the oldest event loses nothing, and is where a gap leads to."""
    log = make(5)
    trim(log)
    assert log.floor == "2-0"
    assert ids(log.since(log.floor)) == span(3, 5)


def test_reading_removes_nothing():
    """The same question has the same answer."""
    log = make(5)
    assert log.since("2-0") == log.since("2-0")
    assert len(log) == 5


def test_newest():
    """The newest, oldest first; as many as there are."""
    log = make(5)
    assert ids(log.newest(2)) == span(4, 5)
    assert ids(log.newest(0)) == []
    assert ids(log.newest(9)) == span(1, 5)
    trim(log)
    assert ids(log.newest(9)) == span(3, 5)


def test_append_must_follow():
    """An event that does not follow the top is a mistake of the engine."""
    with pytest.raises(ValueError, match="follows 2-0, not 1-0"):
        make(1).append(Entry(b"{}", "3-0", "2-0"))


def test_place_of_a_client_that_is_behind():
    """What lies after it is kept, and no more; without it, the backlog is left."""
    log = make(8)
    assert trim(log, behind="2-0") == span(3, 8)
    assert trim(log) == span(6, 8)


def test_age():
    """What came lately is kept, whoever is there."""
    log = make(4)
    for i in range(5, 9):
        log.append(Entry(b"{}", f"{i}-0", log.top), time=float(i))
    assert trim(log, since=4.5) == span(5, 8)
    assert trim(log, since=5.0) == span(5, 8)
    assert trim(log, since=5.5) == span(6, 8)


@pytest.mark.parametrize("more", [1, 3, 30])
def test_overflow_loses_no_more_than_it_must(more):
    """A place that falls out of the buffer still holds the newest buffer_length events."""
    log = make(10)
    assert trim(log, behind="0-0") == span(1, 10)
    make(more, log)
    assert trim(log, behind="0-0") == span(1 + more, 10 + more)
    assert trim(log) == span(8 + more, 10 + more)


def test_a_client_that_lost_already():
    """The same when the cursor is too old from the start."""
    log = make(20)
    trim(log)
    make(5, log)
    assert trim(log, behind="1-0") == span(18, 25)
    assert trim(log) == span(23, 25)


def test_size_bound():
    """Never more than buffer_size bytes, needed or not, backlog or not."""
    log = make(9)
    assert trim(log, size=519 * 4, behind="0-0") == span(6, 9)
    assert log.size == 519 * 4
    assert trim(log, size=6) == []
    assert log.size == 0


def test_expire():
    """Older than a time: gone, whoever is behind."""
    log = make(9)
    log.expire(5)
    assert ids(log.newest(99)) == span(5, 9)
    assert ids(log.since("2-0"))[0] == "gap 4-0"
    assert trim(log, behind="2-0") == span(5, 9)


def test_before():
    """The place before all that came after a time; a place that is lost, if some of it is."""
    log = make(2)
    for i in range(3, 9):
        log.append(Entry(b"{}", f"{i}-0", log.top), time=float(i))
    assert [log.before(time) for time in (2.0, 5.0, 5.5, 8.0, 99.0)] == [
        "2-0",
        "5-0",
        "5-0",
        "8-0",
        "8-0",
    ]
    trim(log)
    assert ids(log.since(log.before(4.0)))[0] == "gap 5-0"
    assert log.before(5.0) == "5-0"


def test_prepend():
    """Events from elsewhere that end where the log begins are read as its own."""
    log = make(9)
    trim(log)
    earlier = make(6).newest(2)
    log.prepend(earlier)
    log.prepend(())
    assert ids(log.since("4-0")) == span(5, 9)
    assert log.size == 519 * 5
    with pytest.raises(ValueError, match="does not end at 4-0"):
        log.prepend(earlier)
    assert trim(log) == span(7, 9)


def test_restart():
    """Another log: places of the one before are lost, but for the one where it begins."""
    log = make(5)
    events = [Entry(b"{}", "9-0", "7-0"), Entry(b"{}", "10-0", "9-0")]
    log.restart("10-0", events, time=1.0)
    assert (log.floor, log.top, len(log)) == ("7-0", "10-0", 2)
    assert ids(log.since("7-0")) == ["9-0", "10-0"]
    assert ids(log.since("5-0")) == ["gap 7-0", "9-0", "10-0"]
    log.restart("20-0", (), time=2.0)
    assert (log.top, len(log), log.size) == ("20-0", 0, 0)


def test_clear_is_a_loss_that_is_told():
    """An empty log still knows its top: who is there lost nothing, everybody else is told."""
    log = make(4)
    log.clear()
    assert (len(log), log.size, log.top) == (0, 0, "4-0")
    assert log.since("4-0") == ()
    assert ids(log.since("3-0")) == ["gap 4-0"]
    assert ids(log.since("0-0")) == ["gap 4-0"]


def test_memory_of_dropped_events():
    """What was dropped is not referred to, and the lists do not grow."""
    log = make(1000)
    for _ in range(200):
        make(10, log)
        log.trim(3, 10, 10**6)
        held = [event for event in log._events if event.json != b"{}"]
        assert len(held) == len(log) == 3
        assert len(log._positions) <= len(log._times) == len(log._events)
        assert len(log._events) <= 2 * (len(log) + 10)


def test_loaded_again():
    """What is here stays if the new events go on from it; a hole or a longer log replaces it."""

    def ids(log):
        return [event.id for event in log.newest(100)]

    log = EventLog(start="1-0")
    events = [Entry(b"{}", f"{n}-0", f"{n - 1}-0") for n in range(2, 12)]
    for event in events[:4]:
        log.append(event)
    log.restart("7-0", events[3:6], 0.0)
    assert (ids(log), log.top) == ([f"{n}-0" for n in range(2, 8)], "7-0")
    log.restart("7-0", (), 0.0)
    assert len(log) == 6
    log.restart("11-0", events[7:], 0.0)
    assert (ids(log), log.floor) == (["9-0", "10-0", "11-0"], "8-0")
    log.restart("11-0", events, 0.0)
    assert len(log) == 10
    for wrong in (events[::2], events[:3]):
        with pytest.raises(ValueError, match="event"):
            log.restart("11-0", wrong, 0.0)
    assert len(log) == 10

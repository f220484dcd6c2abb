"""The log keeps the events that clients may still need, in order, within its bounds."""

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
    """`since` returns the events after any known cursor, and nothing at the newest event."""
    log = make(5)
    for cursor in range(6):
        assert ids(log.since(f"{cursor}-0")) == span(cursor + 1, 5)


@pytest.mark.parametrize("cursor", ["1-0", "0-0", "3-1", "2-5", "9-0", "3-00", "03-0"])
def test_unknown_cursor(cursor):
    """For a cursor that is not in the log, `since` returns a gap and all events."""
    log = make(5)
    assert trim(log) == span(3, 5)
    assert ids(log.since(cursor)) == ["gap 2-0", "3-0", "4-0", "5-0"]
    assert log.since(cursor)[0].event()["after"] == cursor


def test_floor():
    """`floor` is the cursor right before the oldest event: all events follow it, without a gap."""
    log = make(5)
    trim(log)
    assert log.floor == "2-0"
    assert ids(log.since(log.floor)) == span(3, 5)


def test_reading_removes_nothing():
    """Reading the log does not change it."""
    log = make(5)
    assert log.since("2-0") == log.since("2-0")
    assert len(log) == 5


def test_newest():
    """`newest` returns up to this many of the newest events, oldest first."""
    log = make(5)
    assert ids(log.newest(2)) == span(4, 5)
    assert ids(log.newest(0)) == []
    assert ids(log.newest(9)) == span(1, 5)
    trim(log)
    assert ids(log.newest(9)) == span(3, 5)


def test_append_must_follow():
    """Appending an event that does not follow the newest event raises a ValueError."""
    with pytest.raises(ValueError, match="follows 2-0, not 1-0"):
        make(1).append(Entry(b"{}", "3-0", "2-0"))


def test_place_of_a_client_that_is_behind():
    """`trim` keeps the events after the place of the client that is behind, or the backlog."""
    log = make(8)
    assert trim(log, behind="2-0") == span(3, 8)
    assert trim(log) == span(6, 8)


def test_age():
    """`trim` keeps recent events, even if no client needs them."""
    log = make(4)
    for i in range(5, 9):
        log.append(Entry(b"{}", f"{i}-0", log.top), time=float(i))
    assert trim(log, since=4.5) == span(5, 8)
    assert trim(log, since=5.0) == span(5, 8)
    assert trim(log, since=5.5) == span(6, 8)


@pytest.mark.parametrize("more", [1, 3, 30])
def test_overflow_loses_no_more_than_it_must(more):
    """If a place falls out of the buffer, the newest `buffer_length` events are still kept."""
    log = make(10)
    assert trim(log, behind="0-0") == span(1, 10)
    make(more, log)
    assert trim(log, behind="0-0") == span(1 + more, 10 + more)
    assert trim(log) == span(8 + more, 10 + more)


def test_a_client_that_lost_already():
    """If a cursor is lost, all newer events that are still in the log are kept for it."""
    log = make(20)
    trim(log)
    make(5, log)
    assert trim(log, behind="1-0") == span(18, 25)
    assert trim(log) == span(23, 25)


def test_size_bound():
    """The log never keeps more than `buffer_size` bytes, even if events are needed."""
    log = make(9)
    assert trim(log, size=519 * 4, behind="0-0") == span(6, 9)
    assert log.size == 519 * 4
    assert trim(log, size=6) == []
    assert log.size == 0


def test_expire():
    """`expire` drops all events older than a time, even if a client needs them."""
    log = make(9)
    log.expire(5)
    assert ids(log.newest(99)) == span(5, 9)
    assert ids(log.since("2-0"))[0] == "gap 4-0"
    assert trim(log, behind="2-0") == span(5, 9)


def test_before():
    """`before` returns the place before all events that came after a time, which may be lost."""
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
    """Events that end where the log begins can be put before it."""
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
    """`restart` replaces the log: older places are lost, except the start of the new log."""
    log = make(5)
    events = [Entry(b"{}", "9-0", "7-0"), Entry(b"{}", "10-0", "9-0")]
    log.restart("10-0", events, time=1.0)
    assert (log.floor, log.top, len(log)) == ("7-0", "10-0", 2)
    assert ids(log.since("7-0")) == ["9-0", "10-0"]
    assert ids(log.since("5-0")) == ["gap 7-0", "9-0", "10-0"]
    log.restart("20-0", (), time=2.0)
    assert (log.top, len(log), log.size) == ("20-0", 0, 0)


def test_clear_is_a_loss_that_is_told():
    """A cleared log still knows its newest id: that cursor lost nothing; others get a gap."""
    log = make(4)
    log.clear()
    assert (len(log), log.size, log.top) == (0, 0, "4-0")
    assert log.since("4-0") == ()
    assert ids(log.since("3-0")) == ["gap 4-0"]
    assert ids(log.since("0-0")) == ["gap 4-0"]


def test_memory_of_dropped_events():
    """The log does not hold dropped events, and its lists do not grow."""
    log = make(1000)
    for _ in range(200):
        make(10, log)
        log.trim(3, 10, 10**6)
        held = [event for event in log._events if event.json != b"{}"]
        assert len(held) == len(log) == 3
        assert len(log._positions) <= len(log._times) == len(log._events)
        assert len(log._events) <= 2 * (len(log) + 10)


def test_loaded_again():
    """`restart` keeps the log if the new events continue it; a hole or a longer log replaces it."""

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

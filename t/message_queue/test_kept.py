"""The log keeps the last event of each key, checked against a list of all events."""

from hypothesis import given
from hypothesis import strategies as st

from tatsumaki_py.message_queue.event import Entry
from tatsumaki_py.message_queue.ids import position
from tatsumaki_py.message_queue.log import EventLog

BACKLOG, LENGTH, SIZE = 2, 5, 10**6
keys = st.sampled_from([None, None, "a", "b", "c"])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), keys, st.booleans()),
        st.tuples(st.just("trim")),
        st.tuples(st.just("read"), st.integers(0, 2), st.integers(1, 3)),
        st.tuples(st.just("join"), st.integers(0, 2), st.integers(0, 8)),
    ),
    max_size=60,
)


class Reader:
    """A new client, or a client with a cursor."""

    def __init__(self, log, events, back):
        self.log = log
        self.new = back == 8
        self.came = log.top
        self.cursor, self.lead = log.newcomer(BACKLOG) if self.new else (log.top, None)
        if not self.new and back < len(events):
            self.cursor = events[len(events) - back - 1].id
        self.began = self.cursor
        self.got = []

    def read(self, count):
        events = self.log.since(self.cursor, self.lead)[:count]
        self.lead = self.log.lead_after(self.lead, events)
        self.got += events
        self.cursor = events[-1].id if events else self.log.top
        if self.cursor == self.log.top:
            self.lead = None

    def check(self, events, backlog):
        """Check the events of a reader that has read the whole log."""
        got = [event for event in self.got if not event.gap]
        places = [position(event.id) for event in got]
        assert places == sorted(set(places))
        last = {event.key: event for event in events if event.key is not None}
        missed = {event.id for event in events if position(event.id) > position(self.began)}
        ids = {event.id for event in got}
        for event in last.values():
            old = position(event.id) <= position(self.came)
            if event.id in missed and not (event.quiet and not (self.new and old)):
                assert event.id in ids or (event.quiet and len(got) < len(self.got))
        if len(got) == len(self.got):
            # Without a gap, nothing is missing.
            since = position(self.came if self.new else self.began)
            later = {event.id for event in events if position(event.id) > since and not event.quiet}
            assert later <= ids
            assert not self.new or {each.id for each in backlog if each.key is None} <= ids
            assert self.new or later == ids


@given(steps)
def test_any_interleaving(steps):
    """Each reader gets the last event of each key, and all other events or a gap, with increasing
    ids. A log that is read in pieces yields a gap only if events are lost.
    """
    log, events, readers = EventLog(start="1-0"), [], {}
    for step, *args in steps:
        if step == "publish":
            key, quiet = args
            event = Entry(b"{}", f"{len(events) + 2}-0", log.top, key=key, quiet=quiet)
            log.append(event)
            events.append(event)
            log.shrink(LENGTH, SIZE)
        elif step == "trim":
            log.trim(BACKLOG, LENGTH, SIZE)
        elif step == "join":
            number, back = args
            readers[number] = Reader(log, events, back), log.newest(BACKLOG)
        elif args[0] in readers:
            readers[args[0]][0].read(args[1])
        kept = log.kept
        if kept is not None:
            last = {event.key: event for event in events if event.key is not None}
            assert {**kept.before, **kept.inside} == last
            assert kept.size == sum(event.size for event in kept.before.values())
            assert log.held == log.size + kept.size
    for reader, backlog in readers.values():
        for _ in range(100):
            if reader.cursor == log.top:
                break
            reader.read(1)
        assert reader.cursor == log.top
        reader.check(events, backlog)

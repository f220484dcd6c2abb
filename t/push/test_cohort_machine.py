"""Streams that read one log, in any interleaving, checked against a model of plain numbers. Each
client gets every event after its place once and in order, or a gap for the lost ones. The events
and bytes that its stream counts are those that the client got. Any other message arrives after the
events that were published before it, unless the stream is blocked, and never after later events.
"""

import asyncio
import itertools
import json
import time
from unittest.mock import patch

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from support.feed import Feed, Reader, cursor

from tatsumaki_py.counters import traffic
from tatsumaki_py.push import cohort, flusher
from tatsumaki_py.push.framing import JSON

SLICE = 1000
SIZES = st.sampled_from([1, 1, 50, 300, 3 * SLICE])


def count(place):
    """The number of events up to a cursor."""
    return int(place.split("-")[0]) - 1


class Clock:
    """A clock that advances so much at each call that a pass serves only a few groups."""

    def __init__(self):
        self.process_time = time.process_time
        self.monotonic = itertools.count(step=flusher.SLICE * 0.4).__next__


class Client:
    """The expected state of one stream. Places are counts of events."""

    def __init__(self, feed, place, quiet):
        self.reader = Reader(feed, cursor(place), quiet=quiet, max_buffer=4 * SLICE, buffer=4000)
        self.place = place
        self.quiet_until = feed.count if quiet else 0
        self.buffer = b""
        self.writes = []
        self.written = 0
        self.events = self.bytes = 0

    def read(self, size=1 << 20):
        data = self.reader.read(size)
        self.bytes += len(data)
        *lines, self.buffer = (self.buffer + data).split(b"\n")
        return [json.loads(line) for line in lines]


class CohortMachine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.patches = [
            patch.object(cohort, "GROUP", 2),
            patch.object(cohort, "LEFT", 1),
            patch.object(flusher, "time", Clock()),
        ]
        for one in self.patches:
            one.start()
        self.loop = asyncio.SelectorEventLoop()
        self.feed = Feed()
        self.traffic = traffic("ndjson")
        self.before = self.traffic.open, self.traffic.events, self.traffic.bytes
        self.sent = [0, 0]
        self.quiet = set()
        self.trimmed = 0
        self.clients = []

    def teardown(self):
        self.drain()
        for client in list(self.clients):
            self.end(client)
        assert self.feed.readers == {}
        counted = self.traffic.open, self.traffic.events, self.traffic.bytes
        assert counted == (self.before[0], *map(sum, zip(self.before[1:], self.sent, strict=True)))
        self.loop.close()
        for one in self.patches:
            one.stop()

    def run(self, function, turns=0):
        async def step():
            function()
            for _ in range(turns):
                await asyncio.sleep(0)

        self.loop.run_until_complete(step())

    def pick(self, number):
        return self.clients[number % len(self.clients)]

    # -- the model

    def take(self, client, lines):
        """Check the lines that `client` has received."""
        for line in lines:
            if isinstance(line, str):
                number, top, blocked = client.writes[client.written]
                assert line == f"write {number}"
                assert client.place <= top
                assert blocked or self.next(client.place, client, top) is None
                client.written += 1
            elif line.get("type") == "gap":
                after, gap = count(line["after"]), count(line["id"])
                assert self.next(client.place, client, after) is None
                assert client.place <= after < gap <= self.trimmed
                client.place = gap
                # It is no longer known which quiet events came later.
                client.quiet_until = 0
            else:
                expected = self.next(client.place, client, self.feed.count)
                assert line["data"]["n"] == expected
                assert line["id"] == cursor(expected)
                client.place = expected
                client.events += 1

    def next(self, place, client, top):
        """The first event after `place`, up to `top`, that is meant for `client`."""
        for number in range(place + 1, top + 1):
            if number not in self.quiet or number <= client.quiet_until:
                return number
        return None

    # -- what may happen

    @rule(
        sizes=st.lists(SIZES, min_size=1, max_size=4), quiet=st.sampled_from([False] * 4 + [True])
    )
    def publish(self, sizes, quiet):
        if quiet:
            self.quiet.update(range(self.feed.count + 1, self.feed.count + 1 + len(sizes)))
        self.run(lambda: self.feed.publish(*sizes, quiet=quiet))

    @precondition(lambda self: len(self.clients) < 7)
    @rule(back=st.integers(0, 5), quiet=st.booleans())
    def join(self, back, quiet):
        place = max(0, self.feed.count - back)
        self.run(lambda: self.clients.append(Client(self.feed, place, quiet)))

    @precondition(lambda self: len(self.clients) < 7)
    @rule()
    def join_at_the_top(self):
        self.join(0, False)

    @precondition(lambda self: self.clients)
    @rule(number=st.integers(0, 6), size=st.sampled_from([1, 1, 20_000]))
    def read(self, number, size):
        client = self.pick(number)
        self.take(client, client.read(size))

    @precondition(lambda self: self.clients)
    @rule(number=st.integers(0, 6))
    def write(self, number):
        client = self.pick(number)
        text = f"write {len(client.writes)}"

        def write():
            stream, top = client.reader.stream, self.feed.count
            blocked = stream.blocked
            stream.write(json.dumps(text).encode(), JSON)
            # Earlier events may have blocked the stream.
            client.writes.append((len(client.writes), top, blocked or stream.blocked))

        self.run(write)

    @precondition(lambda self: self.clients)
    @rule(number=st.integers(0, 6))
    def catch_up(self, number):
        self.run(self.pick(number).reader.reading.catch_up)

    @rule(turns=st.integers(1, 12))
    def wait(self, turns):
        self.run(lambda: None, turns)

    @rule(keep=st.integers(0, 5))
    def trim(self, keep):
        self.feed.trim(keep)
        self.trimmed = max(self.trimmed, self.feed.count - keep)

    @precondition(lambda self: self.clients)
    @rule(number=st.integers(0, 6))
    def stop(self, number):
        """Stop the reading: the client has all events up to `cursor`."""
        client = self.pick(number)
        reading = client.reader.reading
        before = ""

        def stop():
            nonlocal before
            before = reading.cursor
            reading.stop()

        self.run(stop)
        assert reading.cursor == before
        assert not reading.busy()
        self.finish(client)
        assert self.next(client.place, client, count(before)) is None
        self.end(client)

    @precondition(lambda self: self.clients)
    @rule(number=st.integers(0, 6))
    def leave(self, number):
        client = self.pick(number)
        client.reader.client.close()
        self.run(lambda: None, 3)
        assert client.reader.lost is not None
        self.note(client)
        self.clients.remove(client)

    @rule()
    def drain(self):
        """All clients read until no more events arrive."""
        for client in self.clients:
            self.finish(client)
            assert client.written == len(client.writes)
            assert self.next(client.place, client, self.feed.count) is None
            assert client.reader.reading.place.cursor == self.feed.top
            assert not client.reader.reading.busy()

    def finish(self, client):
        """`client` reads until no more events arrive."""
        silent = 0
        while silent < 40:
            lines = client.read()
            self.take(client, lines)
            silent = 0 if lines else silent + 1
            self.run(lambda: None, 1)
        info = client.reader.stream.info
        assert (info.events, info.bytes) == (client.events, client.bytes)

    def end(self, client):
        self.run(client.reader.stream.abort)
        self.note(client)
        client.reader.client.close()
        self.clients.remove(client)

    def note(self, client):
        """Count what the ended stream of `client` has sent."""
        info = client.reader.stream.info
        assert info.end
        self.sent[0] += info.events
        self.sent[1] += info.bytes

    # -- what is always true

    @invariant()
    def everybody_has_a_place(self):
        """Each stream is in exactly one cohort or blocked; the log keeps the events that it
        needs.
        """
        if not self.clients:
            assert self.feed.readers == {}
            return
        (cohorts,) = self.feed.readers.values()
        places = {*cohorts.places()}
        all_cohorts = [*cohorts._cohorts.values()]
        for one in all_cohorts:
            assert one.left == sum(member.place is not one for member in one.members)
            assert one.left < len(one.members)
        if cohorts._serving is not None:
            all_cohorts.append(cohorts._serving)
        for client in self.clients:
            reading, stream = client.reader.reading, client.reader.stream
            among = [one for one in all_cohorts if reading.place is one]
            assert sum(one.members.count(reading) for one in among) == len(among)
            assert among or stream.blocked
            assert reading.cursor in (*places, self.feed.top)
            assert stream._rest is None or len(stream._rest.data) < SLICE + 4 * SLICE

    @invariant()
    def nobody_is_forgotten(self):
        """A stream that is behind will be served."""
        for cohorts in self.feed.readers.values():
            behind = any(one.cursor != self.feed.top for one in cohorts._cohorts.values())
            passing = cohorts._flusher._serving is not None
            assert not behind or cohorts._dirty or passing


CohortMachine.TestCase.settings = settings(
    max_examples=100, stateful_step_count=60, deadline=None, derandomize=True
)
TestCohorts = CohortMachine.TestCase

"""Streams that read a log themselves get the right events at the right time."""

import asyncio
import contextlib
import json
import re

import pytest
from support.feed import Feed, Reader, cursor
from support.wire import iterations, soon

from tatsumaki_py.push import cohort
from tatsumaki_py.push.flusher import SLICE, Flusher
from tatsumaki_py.push.framing import JSON


class Fault(BaseException):
    """An exception that is not even an `Exception`."""


class Wire:
    """A socket whose `send` the test replaces."""

    def __init__(self, reader, send):
        self.sock, self.send = reader.stream.wire, send
        reader.stream.wire = self

    def __getattr__(self, name):
        return getattr(self.sock, name)


@pytest.fixture
def feed():
    return Feed()


@pytest.fixture
def join(feed, io_loop):
    """`reader = join(place)` returns a reader that is closed after the test."""
    readers = []

    def join(place=None, **options):
        readers.append(Reader(feed, feed.top if place is None else cursor(place), **options))
        return readers[-1]

    yield join

    async def close():
        for reader in readers:
            reader.stream.abort()
            reader.client.close()

    io_loop.run_sync(close)
    assert feed.readers == {}


def numbers(data):
    """The numbers of the events in `data`, and the types of other messages."""
    lines = [json.loads(line) for line in data.splitlines()]
    return [line["data"]["n"] if "data" in line else line.get("type") for line in lines]


async def read(reader, last):
    """Read the events up to the event `last`."""
    data = b""
    while b'{"n":%d,' % last not in data or not data.endswith(b"\n"):
        data += await asyncio.get_running_loop().sock_recv(reader.client, 1 << 20)
    return numbers(data)


@pytest.mark.gen_test
async def test_one_join_for_all(feed, join):
    """A burst is one `send` per stream, and all streams share one bytes object."""
    readers = [join(max_buffer=100_000) for _ in range(100)]
    sent = []

    def send(wire, data):
        sent.append(data)
        return wire.sock.send(data)

    for reader in readers:
        Wire(reader, lambda data, reader=reader: send(reader.stream.wire, data))
    for _ in range(50):
        feed.publish()
    assert sent == []
    await iterations()
    assert len(sent) == 100
    assert len({id(data) for data in sent}) == 1
    for reader in readers:
        assert numbers(reader.read()) == [*range(1, 51)]
        assert reader.reading.cursor == feed.top
        assert not reader.reading.busy()


@pytest.mark.gen_test
async def test_late_streams_catch_up_with_the_front(feed, join):
    """Late streams get the missed events in slices, and then join the first cohort. Only they are
    reported as late.
    """
    front = join(max_buffer=8000)
    for _ in range(30):
        feed.publish(300)
        await iterations(8)
    late = [join(place, max_buffer=8000) for place in (0, 0, 10)]
    for reader, first in zip(late, (1, 1, 11), strict=True):
        assert await read(reader, 30) == [*range(first, 31)]
        assert reader.reading.place is front.reading.place
        assert reader.late[0] == cursor(first - 1)
        assert len(reader.late) > 2
    assert front.late == []
    for reader in late:
        reader.late.clear()
    feed.publish()
    for reader in (front, *late):
        await read(reader, 31)
        assert reader.late == []


@pytest.mark.gen_test
async def test_a_slow_stream(feed, join):
    """A slow stream leaves its cohort, reads on from the log, and joins the cohort again. Other
    streams do not wait for it, and the log knows its place.
    """
    quick, slow = join(), join(buffer=4000)
    for number in range(1, 101):
        feed.publish(300)
        assert await read(quick, number) == [number]
    assert slow.stream.blocked
    assert slow.reading.busy()
    (cohorts,) = feed.readers.values()
    assert [*cohorts.places()] == [slow.reading.cursor] != [feed.top]
    assert len(slow.stream._rest.data) < 2000
    assert await read(slow, 100) == [*range(1, 101)]
    await soon(lambda: not slow.reading.busy())
    assert slow.reading.place is quick.reading.place
    assert [*cohorts.places()] == []


@pytest.mark.gen_test
async def test_a_gap(feed, join):
    """A stream that is too slow for the log gets a gap."""
    slow = join(buffer=4000)
    feed.publish(3000)
    await iterations()
    feed.publish(*[300] * 50)
    feed.trim(10)
    got = await read(slow, 51)
    assert got == [1, "gap", *range(42, 52)]


@pytest.mark.gen_test
async def test_other_writes(feed, join):
    """Other messages arrive after earlier events and before later ones."""
    reader = join()
    feed.publish()
    reader.stream.write(b'{"type":"a"}', JSON)
    feed.publish()
    feed.publish()
    reader.stream.write(b'{"type":"b"}', JSON)
    reader.stream.write(b'{"type":"c"}', JSON)
    feed.publish()
    assert await read(reader, 4) == [1, "a", 2, 3, "b", "c", 4]


@pytest.mark.gen_test
async def test_finish(feed, join):
    """`finish` sends the events that were published before it."""
    reader = join()
    feed.publish(1, 1)
    reader.stream.finish()
    assert numbers(reader.read()) == [1, 2]
    assert reader.reading.cursor == feed.top
    feed.publish()
    assert reader.reading.cursor == cursor(2)
    assert reader.read() == b""


@pytest.mark.gen_test
async def test_catch_up_and_stop(feed, join):
    """`catch_up` sends all events immediately; `stop` ends the reading."""
    reader, other = join(), join()
    feed.publish(1, 1)
    assert reader.reading.busy()
    assert reader.reading.cursor == cursor(0)
    reader.reading.catch_up()
    assert reader.reading.cursor == cursor(2)
    assert numbers(reader.read()) == [1, 2]
    reader.reading.stop()
    feed.publish()
    assert await read(other, 3) == [1, 2, 3]
    assert reader.read() == b""
    assert reader.reading.cursor == cursor(2)
    assert not reader.reading.busy()


@pytest.mark.gen_test
async def test_quiet_events(feed, join):
    """Only a newcomer that finds quiet events in the log gets them."""
    before = join()
    feed.publish(1, quiet=True)
    feed.publish(1)
    newcomer, other = join(0, quiet=True), join(0)
    feed.publish(1, quiet=True)
    feed.publish(1)
    assert await read(newcomer, 4) == [1, 2, 4]
    assert await read(before, 4) == await read(other, 4) == [2, 4]
    feed.publish(1, quiet=True)
    await iterations()
    assert not any(reader.reading.busy() for reader in (before, newcomer, other))
    assert newcomer.reading.cursor == cursor(5)


@pytest.mark.parametrize("fault", [ValueError, BrokenPipeError, Fault])
@pytest.mark.gen_test
async def test_a_stream_that_fails(feed, join, expect_log, fault):
    """A stream that fails is closed, and the other streams still get their events."""
    readers = [join() for _ in range(200)]

    def fail(data):
        raise fault

    for number in (3, 100):
        Wire(readers[number], fail)
    with contextlib.ExitStack() as logs:
        if fault is not BrokenPipeError:
            logs.enter_context(expect_log("tatsumaki", "sending to it failed"))
        if fault is Fault:
            logs.enter_context(expect_log("asyncio", "Exception in callback"))
        feed.publish()
        await soon(lambda: readers[3].lost and readers[100].lost)
        await iterations()
    for number, reader in enumerate(readers):
        if number in (3, 100):
            assert reader.reading.cursor == cursor(0)
        else:
            assert await read(reader, 1) == [1]
    feed.publish()
    assert await read(readers[-1], 2) == [2]


@pytest.mark.gen_test
async def test_a_pass_stops_for_others(feed, join, monkeypatch):
    """A long pass continues in the next iteration of the loop. New events, streams that leave and
    streams that write do not disturb it.
    """
    monkeypatch.setattr(cohort, "GROUP", 5)
    readers = [join() for _ in range(100)]
    now = 0.0

    def send(wire, data):
        nonlocal now
        now += SLICE / 10
        return wire.sock.send(data)

    for reader in readers:
        Wire(reader, lambda data, reader=reader: send(reader.stream.wire, data))
    monkeypatch.setattr("tatsumaki_py.push.flusher.time.monotonic", lambda: now)
    feed.publish()
    served = [0]
    while served[-1] < 100:
        await asyncio.sleep(0)
        served.append(sum(reader.reading.cursor == cursor(1) for reader in readers))
        assert served[-1] - served[-2] <= 15
    assert len({*served}) > 7
    feed.publish()
    while not any(reader.reading.cursor == cursor(2) for reader in readers):
        await asyncio.sleep(0)
    feed.publish()
    readers[90].reading.stop()
    readers[91].stream.write(b'{"type":"x"}', JSON)
    readers[0].stream.write(b'{"type":"x"}', JSON)
    for number in (0, 50, 91, 99):
        got = await read(readers[number], 3)
        assert got == [1, 2, 3] + (["x"] if number in (0, 91) else [])
    assert numbers(readers[90].read()) == [1]


@pytest.mark.gen_test
async def test_many_that_come_and_go(feed, join):
    """An idle log does not keep streams that have left."""
    stays = join()
    for _ in range(500):
        reader = join()
        reader.stream.abort()
        reader.client.close()
    assert len(stays.reading.place.members) < 100
    stays.stream.abort()
    assert feed.readers == {}


@pytest.mark.gen_test
async def test_a_loop_that_is_closed(feed, join):
    """Publishing causes no error if the loop of a stream is closed."""
    loop = asyncio.new_event_loop()

    async def elsewhere():
        return Reader(feed, feed.top)

    reader = await asyncio.to_thread(loop.run_until_complete, elsewhere())
    await asyncio.to_thread(loop.close)
    here = join()
    feed.publish()
    assert await read(here, 1) == [1]
    reader.reading.stop()
    reader.stream.wire.close()
    reader.client.close()
    assert Flusher.current() is here.stream.flusher


@pytest.mark.gen_test(timeout=30)
async def test_ten_thousand_events_for_a_slow_stream(feed, join):
    """While a slow stream reads, its waiting bytes are bounded; its events arrive in order, with a
    gap for the lost ones.
    """
    slow = join(buffer=4000)
    data = b""
    for number in range(10_000):
        feed.publish(100)
        feed.trim(100)
        if number % 10 == 0:
            await iterations(8)
            data += slow.read(1)
            assert slow.stream._rest is None or len(slow.stream._rest.data) < 2000
            waiting = slow.stream.waiting
            assert waiting is None or waiting.size == 0
    while b'"n":10000,' not in data or not data.endswith(b"\n"):
        data += await asyncio.get_running_loop().sock_recv(slow.client, 1000)
    place = 0
    for line in map(json.loads, data.splitlines()):
        if line.get("type") == "gap":
            assert line["after"] == cursor(place)
            place = int(re.match(r"\d+", line["id"])[0]) - 1
        else:
            place += 1
            assert line["data"]["n"] == place
    assert place == 10_000
    assert data.count(b'"gap"') == 1

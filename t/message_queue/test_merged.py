"""A queue of several channels delivers their events to one connection, with one cursor."""

import asyncio
import gc
import weakref

import pytest
from message_queue.fakes import FakePeer, Taker, events, numbers, turn
from message_queue.test_no_leftovers import timers
from support.answers import until

from tatsumaki_py import Error, MessageQueue
from tatsumaki_py.message_queue import MergedQueue


@pytest.fixture
def a(make_queue):
    """The queue of one channel."""
    return make_queue("a")


@pytest.fixture
def b(make_queue):
    """The queue of another channel."""
    return make_queue("b")


@pytest.fixture
def ab(a, b):
    """The queue of both channels."""
    return MessageQueue.instance("a", "b")


def said(events):
    """The channel and the `n` of each event."""
    return [(event.channel, *numbers([event])) for event in events]


class Hearer(FakePeer):
    """A client that records the channels of its events and its own cursor."""

    def on_new_event(self, *events):
        self.calls.append(said(events))
        self.at = events[-1].id if events else None


# -- which object


def test_names(engine):
    """The order of the names and their repetition make no difference."""
    ab = MessageQueue.instance("b", "a")
    assert isinstance(ab, MergedQueue)
    assert ab.channel == ("a", "b")
    assert MessageQueue.instance("a", "b") is ab
    assert MessageQueue.instance("a", "b", "a") is ab
    assert MessageQueue.instance("a", "b", "c") is not ab
    a = MessageQueue.instance("a")
    assert MessageQueue.instance("a", "a") is a
    assert isinstance(a, MessageQueue)
    assert {queue.channel for queue in MessageQueue.channels()} == {"a", "b"}


def test_bad_names(engine):
    """Each name is checked like a single name; at most 200 names are allowed."""
    with pytest.raises(TypeError, match="a channel's name must be a str, not float"):
        MessageQueue.instance("a", 1.5)
    with pytest.raises(TypeError, match="a channel's name must be a str, not list"):
        MessageQueue.instance("a", ["b"])
    with pytest.raises(Error.HTTP) as error:
        MessageQueue.instance("a", "x" * 1025)
    assert error.value.code == 400
    names = [f"room{i}" for i in range(200)]
    assert len(MessageQueue.instance(*names, *names).channel) == 200
    with pytest.raises(ValueError, match="201 channels, but at most 200 are allowed"):
        MessageQueue.instance(*names, "one more")
    assert not hasattr(MergedQueue, "publish")


@pytest.mark.gen_test
async def test_freed(engine, clock):
    """A merged queue without references or clients is freed, and its channels are freed as well."""
    ab = weakref.ref(MessageQueue.instance("a", "b"))
    assert ab() is None
    MessageQueue.instance("a", "b").poll("me", Taker()).cancel()
    assert [queue.channel for queue in MessageQueue.channels()] == ["a", "b"]
    assert MessageQueue._registry.clients == 2
    await clock.advance(31)
    gc.collect()
    assert not MessageQueue.channels()
    registry = MessageQueue._registry
    assert (registry.clients, registry.active, registry.deserted) == (0, {}, {})
    assert not registry.merged


@pytest.mark.gen_test
async def test_leaves_at_once(engine):
    """An anonymous client that leaves before its place was looked up leaves nothing behind."""
    MessageQueue.instance("a", "b").poll(None, Taker()).cancel()
    await turn()
    assert not MessageQueue._registry.clients


@pytest.mark.engines("memory")  # the test checks right after calling `publish`
@pytest.mark.gen_test
async def test_kept_while_it_is_listened_to(engine, clock):
    """A merged queue is kept by its clients, and its channels are not deserted in the meantime."""
    peer = Hearer()
    MessageQueue.instance("a", "b").poll("me", peer.on_new_event)
    gc.collect()
    await clock.advance(2 * MessageQueue.idle_timeout)
    assert not MessageQueue._registry.deserted
    MessageQueue.instance("b").publish({"n": 1})
    MessageQueue.instance("a").publish({"n": 2})
    assert peer.calls == [[("b", 1)], [("a", 2)]]
    peer.leave()
    await clock.advance(31)
    assert {*MessageQueue._registry.deserted} == {"a", "b"}
    await clock.advance(MessageQueue.idle_timeout + 1)
    assert not MessageQueue._registry.active


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.gen_test
async def test_reset(engine):
    """`reset` forgets the clients of merged queues and stops their timers."""
    peer = Hearer()
    MessageQueue.instance("a", "b").poll("me", peer.on_new_event)
    MessageQueue.instance("a", "b").poll("other", Taker()).cancel()
    assert timers()
    MessageQueue.reset()
    assert not timers()
    assert not MessageQueue.instance("a", "b").clients
    MessageQueue.instance("a").publish({"n": 1})
    assert peer.calls == []


# -- what is delivered


@pytest.mark.engines("memory")  # the test checks right after calling `publish`
@pytest.mark.gen_test
async def test_published_in_one(a, b, ab):
    """A client of several channels gets their events in publish order before `publish` returns."""
    stream, once = Hearer(), Hearer()
    ab.poll("stream", stream.on_new_event)
    ab.poll_once("once", once.answer)
    for n, queue in enumerate([a, b, b, a]):
        queue.publish({"n": n})
    assert stream.calls == [[("a", 0)], [("b", 1)], [("b", 2)], [("a", 3)]]
    assert once.calls == [[("a", 0)]]
    assert ab.cursor() == stream.at == f"{a.cursor()},{b.cursor()}"
    assert said(await ab.poll_once("once")) == [("b", 1), ("b", 2), ("a", 3)]


@pytest.mark.gen_test
async def test_newcomer(a, b, ab):
    """A new client gets the backlog of each channel; one with a cursor gets the events after it."""
    a.backlog_length = 2
    await ab.ready()
    start = ab.cursor()
    await a.publish(*events(0, 1, 2))
    # External engines order events of the same millisecond only within each channel.
    await asyncio.sleep(0.002)
    await b.publish({"n": 3})
    assert said(await ab.poll_once(None)) == [("a", 1), ("a", 2), ("b", 3)]
    assert len(await ab.poll_once(None, last_event_id=start)) in (3, 4)
    assert await ab.poll_once(None, timeout=0, last_event_id=ab.cursor()) == []
    del a.backlog_length


@pytest.mark.engines("memory")  # the test checks right after calling `publish`
@pytest.mark.gen_test
async def test_async_iteration(a, b, ab):
    """A poll of several channels can be iterated like a poll of one."""
    got = []

    async def read():
        async for batch in ab.poll("me"):
            got.extend(said(batch))

    task = asyncio.ensure_future(read())
    await turn()
    a.publish({"n": 1})
    b.publish({"n": 2})
    await turn()
    ab.disconnect()
    await task
    assert got == [("a", 1), ("b", 2)]


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.gen_test
async def test_bad_cursor(a, b, ab):
    """A cursor leads to a gap in each channel for which its part is malformed."""
    await b.publish({"n": 1})
    for cursor in ("1-0", "1-0,", "1-0,2-0,3-0", "a,b", "," * 5000, "é"):
        got = await ab.poll_once(None, timeout=0, last_event_id=cursor)
        assert said(got) == [("a", "gap"), ("b", "gap"), ("b", 1)]
    got = await ab.poll_once(None, timeout=0, last_event_id=f"{a.cursor()},x")
    assert said(got) == [("b", "gap"), ("b", 1)]


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.gen_test
async def test_peer_at(a, b, ab):
    """The cursor that a peer is told has a place in each channel."""
    stream, once = FakePeer(), FakePeer()
    poll = ab.poll("stream", stream.on_new_event)
    assert stream.told == [f"{a.cursor()},{b.cursor()}"] == [poll.cursor]
    (id,) = await b.publish({"n": 1})
    ab.poll_once("once", once.answer, timeout=0, last_event_id=ab.cursor())
    assert once.told == [f"{a.cursor()},{id}", []]


@pytest.mark.gen_test
async def test_gap_in_one(make_queue, ab, a, b):
    """A gap in one channel loses nothing in the other; resuming after it gets the rest of both."""
    make_queue("a", backlog_length=2, buffer_length=2)
    await ab.ready()
    cursor = ab.cursor()
    await b.publish(*events(10, 11))
    await a.publish(*events(1, 2, 3))
    got = await ab.poll_once("me", last_event_id=cursor)
    assert [event for event in said(got) if event[0] == "b"] == [("b", 10), ("b", 11)]
    assert [event for event in said(got) if event[0] == "a"] == [("a", "gap"), ("a", 2), ("a", 3)]
    gap = next(event for event in got if event.gap)
    rest = await ab.poll_once("other", last_event_id=gap["id"])
    assert [*said(rest)] == said(got)[got.index(gap) + 1 :]


@pytest.mark.gen_test
async def test_returns_to_channels_made_anew(clock):
    """A client gets a gap for a channel that was forgotten, and resumes in the other channel."""
    b = MessageQueue.instance("b")
    await MessageQueue.instance("a").publish({"n": 1})
    await b.publish({"n": 2})
    await MessageQueue.instance("a", "b").ready()
    cursor = MessageQueue.instance("a", "b").cursor()
    await MessageQueue.instance("a").publish({"n": 0})
    await b.publish({"n": 3})
    MessageQueue.instance("a")._channel.release()
    gc.collect()
    assert not MessageQueue.instance("a").backlog_events
    ab = MessageQueue.instance("a", "b")
    peer = Hearer(cursor=cursor)
    ab.poll("me", peer.on_new_event)
    assert peer.calls == [[("a", "gap"), ("b", 3)]]
    MessageQueue.instance("a").publish({"n": 4})
    assert peer.calls[1:] == [[("a", 4)]]
    assert peer.at == ab.cursor()


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.gen_test
async def test_nothing_dropped_that_is_still_to_come(make_queue, a, b, ab, clock):
    """A channel keeps the events that an absent client of several channels has not received."""
    make_queue("a", backlog_length=1, recovery_time=0)
    peer, other = Hearer(), Hearer()
    ab.poll("me", peer.on_new_event)
    ab.poll("other", other.on_new_event)
    peer.leave()
    await a.publish(*events(1, 2))
    await a.publish(*events(3, 4))
    assert other.calls == [[("a", 1), ("a", 2)], [("a", 3), ("a", 4)]]
    await b.publish({"n": 8})
    assert other.calls[2] == [("b", 8)]
    again = Hearer()
    ab.poll("me", again.on_new_event)
    assert [n for _, n in again.calls[0]] == [1, 2, 3, 4, 8]
    await clock.advance(32)
    await a.publish({"n": 9})
    await clock.advance(32)
    assert [entry.event()["n"] for entry in a._channel.log.newest(100)] == [9]


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.gen_test
async def test_slow_stream(make_queue, a, b, ab):
    """Events that were written but not sent are kept, and come again when the client comes back."""
    make_queue("a", backlog_length=1, recovery_time=0)
    await ab.ready()
    start = ab.cursor()
    peer = Hearer()
    ab.poll("me", peer.on_new_event)
    peer.unsent = start
    await a.publish(*events(1, 2))
    await b.publish({"n": 3})
    assert len(peer.calls) == 2
    peer.leave()
    again = Hearer()
    ab.poll("me", again.on_new_event)
    assert again.calls == [[("a", 1), ("a", 2), ("b", 3)]]


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.gen_test
async def test_trimmed_when_it_is_sent(make_queue, a, b, ab, clock):
    """Events that were not yet sent to a slow stream are kept until they are sent."""
    make_queue("a", backlog_length=1, recovery_time=0)
    peer = Hearer()
    ab.poll("me", peer.on_new_event)
    peer.unsent = ab.cursor()
    await a.publish(*events(1, 2, 3))
    for watcher in peer.watchers:
        watcher.blocked(True)
    await clock.advance(60)
    await clock.advance(60)
    assert len(a._channel.log) == 3
    peer.unsent = None
    for watcher in peer.watchers:
        watcher.blocked(False)
    await clock.advance(2)
    assert len(a._channel.log) == 1


@pytest.mark.engines("memory")  # the test checks right after calling `publish`
@pytest.mark.gen_test
async def test_more_than_is_read_at_once(a, b, ab):
    """Streams, later streams and long polls get all events of a large publish, in pieces."""
    await ab.ready()
    start = ab.cursor()
    live, later, taker = Hearer(), Hearer(cursor=start), Taker()
    ab.poll("live", live.on_new_event)
    once = asyncio.ensure_future(read(ab, start, 9))
    big = [{"n": n, "text": "x" * 600_000} for n in range(4)]
    a.publish(*big)
    b.publish(*big)
    ab.poll("later", later.on_new_event)
    ab.poll("taker", taker, last_event_id=start)
    everything = [(name, n) for name in "ab" for n in range(4)]
    # If a delivery takes long, it continues in a later iteration of the loop.
    await until(lambda: sum(map(len, live.calls)) == sum(map(len, later.calls)) == 8)
    for peer in (live, later):
        assert [event for call in peer.calls for event in call] == everything
        assert len(peer.calls) > 2
    await until(lambda: len(taker.seen) == 8)
    assert taker.seen == [0, 1, 2, 3] * 2
    a.publish({"n": 9})
    assert live.calls[-1] == later.calls[-1] == [("a", 9)]
    assert await once == [*everything, ("a", 9)]


async def read(queue, cursor, count):
    """Read `count` events with long polls."""
    got = []
    while len(got) < count:
        answer = await queue.poll_once(None, last_event_id=cursor)
        got += said(answer)
        cursor = answer[-1].id
    return got


# -- reentrancy


@pytest.mark.engines("memory")  # the test checks right after calling `publish`
@pytest.mark.gen_test
async def test_callback_publishes(a, b, ab):
    """If a callback publishes, all listeners still get the events of each channel in log order."""
    heard = [Hearer() for _ in range(3)]
    plain = Taker()

    def echo(*events):
        heard[1].on_new_event(*events)
        for event in events:
            if event["n"] < 3:
                a.publish({"n": event["n"] + 1})
                b.publish({"n": event["n"] + 1})

    ab.poll("0", heard[0].on_new_event)
    ab.poll("1", echo)
    ab.poll("2", heard[2].on_new_event)
    a.poll("plain", plain)
    a.publish({"n": 1})
    in_a, in_b = (numbers(queue.backlog_events) for queue in (a, b))
    assert plain.seen == in_a
    assert in_a[:2] == [1, 2]
    assert len(in_b) > 1
    for peer in heard:
        got = [event for call in peer.calls for event in call]
        assert [n for channel, n in got if channel == "a"] == in_a
        assert [n for channel, n in got if channel == "b"] == in_b


@pytest.mark.engines("memory")  # the test checks right after calling `publish`
@pytest.mark.gen_test
async def test_member_publishes_while_it_delivers(make_queue, b, ab):
    """If a callback of one channel publishes to another, no event is delayed or lost."""
    a = make_queue("a", backlog_length=1, recovery_time=0)
    peer, late = Hearer(), Taker()

    def pass_on(*events):
        b.publish(*events)

    a.poll("first", pass_on)
    a.poll("late", late)
    ab.poll("me", peer.on_new_event)
    for n in range(3):
        a.publish({"n": n})
    assert late.calls == [[0], [1], [2]]
    got = [event for call in peer.calls for event in call]
    assert sorted(got) == [("a", 0), ("a", 1), ("a", 2), ("b", 0), ("b", 1), ("b", 2)]


@pytest.mark.engines("memory")  # the test checks right after calling `publish`
@pytest.mark.gen_test
async def test_polls_in_the_middle_of_a_delivery(make_queue, b):
    """If a callback of another queue polls again for a client, the client loses no event."""
    a = make_queue("a", backlog_length=0)
    ab = MessageQueue.instance("a", "b")
    second = Hearer()

    def supersede(*events):
        b.publish({"n": 100})
        if not second.calls:
            ab.poll("me", second.on_new_event)

    a.poll("plain", supersede)
    first = Hearer()
    ab.poll("me", first.on_new_event)
    a.publish(*events(1, 2))
    a.publish({"n": 3})
    got = [event for peer in (first, second) for call in peer.calls for event in call]
    assert [n for channel, n in got if channel == "a"] == [1, 2, 3]
    assert [n for channel, n in got if channel == "b"] == [100, 100]


@pytest.mark.engines("memory")  # the test checks right after calling `publish`
@pytest.mark.gen_test
async def test_nothing_is_trimmed_in_the_middle_of_a_delivery(make_queue, b):
    """An event that a merged client already has is kept for listeners that are called later."""
    a = make_queue("a", backlog_length=0)
    MessageQueue.instance("a", "b").poll("me", Hearer().on_new_event)
    second = Taker()

    def callback(*events):
        b.publish({"n": 100})
        a.poll("second", second)

    a.poll("first", callback)
    a.poll("second", Taker())
    a.publish({"n": 1})
    assert second.calls == [[1]]


@pytest.mark.engines("memory")  # the test checks right after calling `publish`
@pytest.mark.gen_test
async def test_last_client_goes_in_the_middle(a, b, ab):
    """During a delivery, the only client can leave and another client can arrive."""
    later = Hearer()

    class Leaving(Hearer):
        def on_new_event(self, *events):
            super().on_new_event(*events)
            self.leave()
            ab.poll("later", later.on_new_event, last_event_id=ab.cursor())

    peer = Leaving()
    ab.poll("me", peer.on_new_event)
    a.publish({"n": 1})
    b.publish({"n": 2})
    assert peer.calls == [[("a", 1)]]
    assert later.calls == [[("b", 2)]]


# -- who listens


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.gen_test
async def test_clients_and_subscribers(a, b, ab):
    """A client of several channels is a subscriber of each, but is not in their `clients`."""
    gone = []
    peer = Hearer()
    poll = ab.poll("me", peer.on_new_event, on_unsubscribe=lambda: gone.append(1))
    a.poll("me", Taker())
    assert poll.new
    assert [*ab.clients] == [*a.clients] == ["me"]
    assert not b.clients
    assert (ab.subscribers, a.subscribers, b.subscribers) == (1, 2, 1)
    MessageQueue.instance("a", "c").poll("other", Taker())
    assert (ab.subscribers, a.subscribers, b.subscribers) == (1, 3, 1)
    peer.leave()
    assert (ab.subscribers, a.subscribers, b.subscribers, gone) == (0, 2, 0, [1])


@pytest.mark.gen_test
async def test_reconnect_time(make_queue, clock):
    """A queue of several channels has the longest `reconnect_time` of its channels."""
    make_queue("a", reconnect_time=10.0)
    make_queue("b", reconnect_time=50.0)
    ab = MessageQueue.instance("a", "b")
    assert ab.reconnect_time == 50.0
    ab.poll("me", Taker()).cancel()
    await clock.advance(49)
    assert [*ab.clients] == ["me"]
    await clock.advance(2)
    assert not ab.clients


@pytest.mark.gen_test
async def test_disconnect(a, b, ab):
    """`disconnect` on one channel ends all polls that include it, and their clients can resume."""
    once, stream, plain, other = (Hearer() for _ in range(4))
    ab.poll_once("once", once.answer)
    ab.poll("stream", stream.on_new_event)
    a.poll("plain", plain.on_new_event)
    b.poll("other", other.on_new_event)
    a.disconnect()
    assert once.calls == [[]]
    assert once.finished
    assert stream.finished
    assert plain.finished
    assert not other.finished
    b.publish({"n": 1})
    assert said(await ab.poll_once("stream")) == [("b", 1)]
    assert (ab.subscribers, b.subscribers) == (2, 3)


@pytest.mark.gen_test
async def test_publish_nothing(a, b, ab):
    """An empty publish answers a long poll of several channels that include this one."""
    here, there = Hearer(), Hearer()
    ab.poll_once("me", here.answer)
    b.poll_once("me", there.answer)
    a.publish()
    assert (here.calls, there.calls) == ([[]], [])


@pytest.mark.gen_test
async def test_limits(monkeypatch, make_queue, ab, a, b):
    """A client counts once per channel toward `max_clients`; a refused one leaves nothing."""
    monkeypatch.setattr(MessageQueue, "max_clients", 2)
    a.poll("me", Taker())
    with pytest.raises(Error.HTTP, match="too many clients"):
        ab.poll("me", Taker())
    assert not ab.clients
    assert (a.subscribers, b.subscribers) == (1, 0)
    registry = MessageQueue._registry
    assert ([*registry.active], registry.deserted, registry.clients) == (["a"], {}, 1)
    monkeypatch.setattr(MessageQueue, "max_clients", 3)
    ab.poll("me", Taker())
    assert (a.subscribers, b.subscribers, registry.clients) == (2, 1, 3)


@pytest.mark.engines("memory")  # the test checks right after calling `publish`
@pytest.mark.gen_test
async def test_callback_errors(a, ab, expect_log):
    """The log line of a callback's exception names all channels of the poll."""

    def fail(*events):
        raise RuntimeError("boo")

    ab.poll("me", fail)
    taker = Taker()
    ab.poll("other", taker)
    line = r"callback of client \w{8} on channel \('a', 'b'\) raised"
    with expect_log("tatsumaki", line):
        a.publish({"n": 1})
    assert taker.calls == [[1]]


@pytest.mark.engines("memory")  # the test checks right after calling `publish`
@pytest.mark.gen_test
async def test_time_to_live(make_queue, monkeypatch, b, ab):
    """If events of one channel expire, the client gets a gap for it, and the other's events."""
    a = make_queue("a", time_to_live=10.0)
    await ab.ready()
    cursor = ab.cursor()
    await a.publish({"n": 1})
    await b.publish({"n": 2})
    assert len(await ab.poll_once(None, last_event_id=cursor)) == 2
    a._channel.log.expire(1 << 60)
    got = said(await ab.poll_once(None, last_event_id=cursor))
    assert sorted(got, key=str) == [("a", "gap"), ("b", 2)]


def test_two_loops():
    """Merged clients of a closed loop do not disturb the next loop."""
    ab = MessageQueue.instance("loop a", "loop b")
    peers = [Hearer(), Hearer()]

    async def listen(peer):
        ab.poll("me", peer.on_new_event)
        ab.poll_once("once", Taker())

    asyncio.run(listen(peers[0]))
    MessageQueue.instance("loop a").publish({"n": 1})
    asyncio.run(listen(peers[1]))
    MessageQueue.instance("loop b").publish({"n": 2})
    assert [peer.calls for peer in peers] == [[[("loop a", 1)]], [[("loop b", 2)]]]


@pytest.mark.engines("memory")  # the test checks right after calling `publish`
@pytest.mark.gen_test
async def test_a_thousand_subscribers(a, b, ab):
    """A thousand clients get the same event object, from a publish or with a cursor."""
    got = []
    for i in range(1000):
        ab.poll(f"{i}", got.append)
    await ab.ready()
    start = ab.cursor()
    a.publish({"n": 1})
    assert len(got) == 1000
    assert all(event is got[0] for event in got)
    got.clear()
    for i in range(1000):
        ab.poll(f"{i}", got.append, last_event_id=start)
    assert len(got) == 1000
    assert all(event is got[0] for event in got)

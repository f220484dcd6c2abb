"""`publish(..., key=)`: a new client gets the last event of each key, however old it is."""

import time

import pytest
from message_queue.fakes import FakePeer, Taker, numbers
from support.answers import until

from tatsumaki_py import Error, MessageQueue


async def publish(queue, *pairs):
    """Publish one event for each key, which may be None. Their numbers start at 0."""
    ids = []
    for n, key in enumerate(pairs):
        ids += await queue.publish({"n": n}, key=key)
    return ids


@pytest.fixture
def short(make_queue):
    """`queue = short()` returns a queue that keeps one event, and the last event of each key."""
    return lambda channel="room", **settings: make_queue(
        channel, **{"backlog_length": 1, "reconnect_time": 0, "recovery_time": 0} | settings
    )


@pytest.mark.gen_test
async def test_newcomer(make_queue):
    """A new client gets, in order, the last event of each key and the newest without a key."""
    queue = make_queue(backlog_length=3)
    await publish(queue, "a", "b", None, "a", "c", None, "c", None)
    await queue.ready()
    assert numbers(queue.backlog_events) == [1, 3, 5, 6, 7]
    events = await queue.poll_once("new")
    assert numbers(events) == [1, 3, 5, 6, 7]
    assert [event.key for event in events] == ["b", "a", None, "c", None]
    await queue.publish({"n": 8}, {"n": 9}, key="a")
    assert numbers(await queue.poll_once("new")) == [8, 9]
    assert numbers(await queue.poll_once(None)) == [1, 6, 7, 9]


@pytest.mark.engines("memory", "distant")  # a real engine keeps events for longer than that
@pytest.mark.gen_test
async def test_kept(short, clock):
    """The last event of a key is kept, however many events follow, until a new one replaces it."""
    queue = short(buffer_length=5)
    await publish(queue, "a", "b", *[None] * 20)
    await clock.advance(10)
    assert numbers(queue.backlog_events) == [0, 1, 21]
    await queue.publish({"n": 22}, key="a")
    assert numbers(queue.backlog_events) == [1, 22]
    assert repr(queue).startswith("<MessageQueue 'room': 1 events")


@pytest.mark.gen_test
async def test_cursors(make_queue):
    """A client with a cursor gets every event, or a gap and the kept events after its cursor."""
    queue = make_queue(backlog_length=2, buffer_length=4)
    ids = await publish(queue, None, "a", None, "b", "a", "b", None, None, None, "b", *[None] * 70)
    listener = Taker()
    queue.poll("listener", listener)
    await until(lambda: listener.seen == [4, 9, 78, 79])
    after = await queue.poll_once(None, last_event_id=ids[-3])
    assert numbers(after) == [78, 79]
    gap, *rest = await queue.poll_once(None, last_event_id=ids[0])
    assert (gap.gap, numbers(rest)[:2], numbers(rest)[-2:]) == (True, [4, 9], [78, 79])
    # A client that has only the gap gets the kept events after it.
    assert numbers(await queue.poll_once(None, last_event_id=gap.id))[:3] == ["gap", 4, 9]
    for id in (ids[4], ids[5]):
        assert numbers(await queue.poll_once(None, last_event_id=id))[:2] == ["gap", 9]
    assert numbers(await queue.poll_once(None, last_event_id="1-1"))[:3] == ["gap", 4, 9]


@pytest.mark.engines("memory")  # other engines keep events for longer, and are asked for them
@pytest.mark.gen_test
async def test_lost_within_the_first_events(short):
    """A new client that reconnects with a cursor among its first events gets a gap and the rest."""
    queue = short()
    await publish(queue, "a", "b", "c", None, None, None)
    peer = FakePeer()
    queue.poll(None, peer.on_new_event)
    began, first = peer.told
    assert first == [0, 1, 2, 5]
    for cursor, rest in ((began, [0, 1, 2, 5]), (queue.backlog_events[0].id, [1, 2, 5])):
        assert numbers(await queue.poll_once(None, last_event_id=cursor)) == ["gap", *rest]


@pytest.mark.engines("memory")  # other engines keep events for longer, and are asked for them
@pytest.mark.gen_test
async def test_in_pieces(short, monkeypatch):
    """Many first events are read in pieces, each once, with at most one gap."""
    queue = short()
    ids = await publish(queue, None, *"abcdef", None, None)
    monkeypatch.setattr(FakePeer, "_peer_room", lambda self: 1)
    for cursor, gap in ((None, []), (ids[0], ["gap"])):
        peer = FakePeer()
        queue.poll("me" if cursor is None else "other", peer.on_new_event, last_event_id=cursor)
        assert [n for call in peer.calls for n in call] == [*gap, 1, 2, 3, 4, 5, 6, 8]
        assert len(peer.calls) > 5


@pytest.mark.gen_test
async def test_only_for_newcomers(make_queue):
    """`append_backlog` also takes a key: only new clients get its event."""
    queue, taker = make_queue(backlog_length=1), Taker()
    queue.poll("me", taker)
    await queue.ready()
    await queue.append_backlog({"n": 0}, {"n": 1}, key="a")
    await publish(queue, None, None)
    await until(lambda: taker.seen == [0, 1])
    assert numbers(await queue.poll_once("new")) == [1, 1]


@pytest.mark.gen_test
async def test_several_channels(make_queue):
    """Each channel has its own keys."""
    a, b = (make_queue(name, backlog_length=1, buffer_length=2) for name in "ab")
    ids = {}
    for queue in (a, b):
        ids[queue] = await publish(queue, "x", "y", "x", *[None] * 50)
    both, peer = MessageQueue.instance("a", "b"), Taker()
    both.poll("me", peer)
    await until(lambda: sorted(peer.seen) == [1, 1, 2, 2, 52, 52])
    await b.publish({"n": 99}, key="y")
    assert sorted(numbers(await both.poll_once("new"))) == [1, 2, 2, 52, 99]
    events = await both.poll_once("other", last_event_id=f"{ids[a][0]},{b.cursor()}")
    assert numbers(events)[:3] == ["gap", 1, 2]
    assert {event.channel for event in events} == {"a"}


@pytest.mark.gen_test
async def test_idempotency(make_queue):
    """For an idempotency key, the same events with a different key are different events."""
    queue = make_queue()
    ids = await queue.publish({"n": 1}, key="a", idempotency_key="k")
    assert await queue.publish({"n": 1}, key="a", idempotency_key="k") == ids
    for key in ("b", None):
        with pytest.raises(Error.HTTP) as error:
            await queue.publish({"n": 1}, key=key, idempotency_key="k")
        assert error.value.code == 422


@pytest.mark.gen_test
async def test_bounds(make_queue):
    """Beyond `kept_keys` or `buffer_size`, the key published longest ago is evicted first."""
    queue = make_queue(backlog_length=0, kept_keys=3, buffer_length=1)
    await publish(queue, *"abcda", "e")
    await queue.ready()
    assert numbers(queue.backlog_events) == [3, 4, 5]
    large = make_queue("large", backlog_length=0, buffer_length=1, buffer_size=10_000)
    for n in range(5):
        await large.publish({"n": n, "text": "x" * 1800}, key=f"{n}")
    await large.ready()
    assert numbers(large.backlog_events)[-1] == 4
    assert len(large.backlog_events) <= 3
    assert large._channel.log.held <= 10_000


def test_bad_keys(make_queue):
    queue = make_queue()
    for key in ("", "x" * 256):
        with pytest.raises(Error.HTTP, match="a key must have 1 to 255 characters") as error:
            queue.publish({"n": 1}, key=key)
        assert error.value.code == 400
    with pytest.raises(TypeError, match="key must be a str, not int"):
        queue.append_backlog({"n": 1}, key=1)
    with pytest.raises(TypeError, match="key must be a str, not bytes"):
        queue.publish_json(b"1", key=b"1")


@pytest.mark.engines("memory")
@pytest.mark.gen_test
async def test_counted_and_forgotten(short, clock):
    """Kept events count in the size, and are dropped with the channel or after `time_to_live`."""
    queue = short()
    await publish(queue, "a", "b", *[None] * 9)
    registry, log = MessageQueue._registry, queue._channel.log
    assert registry.size == log.held > log.size
    await clock.advance(queue.idle_timeout + 10)
    assert (registry.size, log.held, queue.backlog_events) == (0, 0, [])
    brief = short("brief", time_to_live=0.001)
    await publish(brief, "a", None)
    time.sleep(0.005)
    assert (brief.backlog_events, brief._channel.log.held) == ([], 0)

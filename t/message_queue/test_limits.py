"""Names come from URLs, so a client that asks for too much is refused with a clear line."""

import pytest
from message_queue.fakes import Taker, numbers
from support.answers import until

from tatsumaki_py import Error, MessageQueue


@pytest.fixture
def limit(monkeypatch):
    """`limit(max_channels=3)` sets a limit for this test."""

    def limit(**limits):
        for name, value in limits.items():
            monkeypatch.setattr(MessageQueue, name, value)

    return limit


def refused(code, text):
    """`with refused(503, "too many channels"):` checks that the block raises this error."""
    return pytest.raises(
        Error.HTTP, check=lambda error: (error.code, error.message) == (code, text)
    )


@pytest.mark.engines("memory")  # this engine keeps all events here and limits channels
@pytest.mark.gen_test
async def test_max_channels(make_queue, limit):
    """An event for one channel too many raises a 503; clients of other channels keep listening."""
    limit(max_channels=3)
    queues = [make_queue(f"room{i}") for i in range(5)]
    takers = [Taker() for _ in range(4)]
    for n, (queue, taker) in enumerate(zip(queues, takers, strict=False)):
        queue.poll("me", taker)
        if n < 3:
            await queue.publish({"n": n})
    with refused(503, "too many channels"):
        queues[3].publish({"n": 1})
    with refused(503, "too many channels"):
        queues[4].append_backlog({"n": 1})
    assert queues[3].backlog_events == queues[4].backlog_events == []
    await until(lambda: [taker.calls for taker in takers] == [[[0]], [[1]], [[2]], []])


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.gen_test
async def test_reading_makes_no_channel(make_queue, limit):
    """Channels that are read but hold no events do not count toward `max_channels`."""
    limit(max_channels=3)
    readers = [MessageQueue.instance(f"invented{i}").poll("me", Taker()) for i in range(1000)]
    for i in range(1000):
        await MessageQueue.instance(f"other{i}", "invented1").poll_once("me", timeout=0)
    queue = make_queue("real")
    await queue.publish({"n": 1})
    assert numbers(queue.backlog_events) == [1]
    assert len(readers) == 1000


@pytest.mark.engines("memory")  # this engine keeps all events here and limits channels
@pytest.mark.gen_test
async def test_deserted_channels_make_room(make_queue, limit):
    """The channel deserted for longest is forgotten first, and one with clients never is."""
    limit(max_channels=3)
    rooms = {name: make_queue(name) for name in "abcde"}
    handle = rooms["a"].poll("me", Taker())
    for name in "abcd":
        await rooms[name].publish({"n": 1})
    assert [name for name in "abcd" if rooms[name].backlog_events] == ["a", "c", "d"]
    await rooms["e"].publish({"n": 1})
    assert [name for name in "abcde" if rooms[name].backlog_events] == ["a", "d", "e"]
    assert [*rooms["a"].clients] == ["me"]
    handle.cancel()
    rooms["d"].poll("me", Taker())
    rooms["e"].poll("me", Taker())
    with refused(503, "too many channels"):
        rooms["b"].publish({"n": 1})


@pytest.mark.engines("memory")  # this engine keeps all events here and limits channels
@pytest.mark.gen_test
async def test_channels_whose_events_are_gone(make_queue, limit, clock):
    """A channel without readers is forgotten with its last event, and no longer counts."""
    limit(max_channels=3, max_size=2000, backlog_length=0)
    for number in range(100):
        await MessageQueue.instance(f"short{number}").publish({"n": number})
        await clock.advance(31)
    MessageQueue.instance("nothing").append_backlog()
    read = make_queue("read")
    read.poll("me", Taker())
    await read.publish({"n": 1, "text": "x" * 2000})
    with refused(503, "too many events"):
        make_queue("refused").publish({"n": 1})
    registry = MessageQueue._registry
    assert [*registry.active] == [*registry.holding] == ["read"]
    assert not registry.deserted


@pytest.mark.engines("memory")  # this engine keeps all events here and limits channels
@pytest.mark.gen_test
async def test_who_lost_its_channel_is_told(make_queue, limit):
    """A channel that was forgotten to make room lost its events: an old cursor gets a gap."""
    limit(max_channels=1)
    old = make_queue("old")
    ids = [*await old.publish({"n": 1}), *await old.publish({"n": 2})]
    await make_queue("new").publish({"n": 1})
    limit(max_channels=2)
    assert numbers(await old.poll_once("me", last_event_id=ids[0])) == ["gap"]


@pytest.mark.gen_test
async def test_max_clients(make_queue, limit, clock):
    """One client too many, over all channels, gets a 503; a known client can come back."""
    limit(max_clients=3)
    one, two = make_queue("one"), make_queue("two")
    one.poll("a", Taker())
    two.poll("a", Taker())
    await two.poll_once("b", timeout=0)
    for queue in (one, two, make_queue("three")):
        with refused(503, "too many clients"):
            queue.poll_once("c", Taker())
    assert {queue.channel for queue in MessageQueue.channels() if queue.clients} == {"one", "two"}
    assert await two.poll_once("b", timeout=0) == []
    await clock.advance(31)
    assert await two.poll_once("c", timeout=0) == []


@pytest.mark.gen_test
async def test_clients_that_have_nothing_to_lose_make_room(make_queue, limit):
    """Absent clients of channels without events and without listeners are forgotten first."""
    limit(max_clients=10)
    held, left = make_queue("held"), []
    await held.publish({"n": 1})
    await held.poll_once("me", timeout=0)
    for i in range(100):
        queue = MessageQueue.instance(f"invented{i}", "invented")
        await queue.poll_once("me", timeout=0, on_unsubscribe=lambda i=i: left.append(i))
    assert left == [*range(96)]
    held.poll("you", Taker())
    held.poll("they", Taker())
    assert left == [*range(97)]
    await held.publish({"n": 2})
    assert numbers(await held.poll_once("me")) == [2]


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.gen_test
async def test_clients_without_a_name_that_are_away(make_queue, limit):
    """The places of absent anonymous clients are bounded; the oldest in empty channels go first."""
    limit(max_clients=10)
    held = make_queue("held")
    await held.publish({"n": 1})
    cursor = held.cursor()
    await held.poll_once(None, timeout=0)
    for i in range(100):
        await MessageQueue.instance(f"invented{i}", "invented").poll_once(None, timeout=0)
    names = [queue.channel for queue in MessageQueue._registry.active.values()]
    assert names[0] == "held"
    assert len(names) <= 8
    await held.publish({"n": 2})
    assert numbers(await held.poll_once(None, last_event_id=cursor)) == [2]


@pytest.mark.gen_test
async def test_a_hook_polls_while_room_is_made(make_queue, limit):
    """If `on_unsubscribe` polls for the name that is just polling, only one poll remains."""
    limit(max_clients=2)
    queue, takers = make_queue("room"), [Taker(), Taker()]

    def again():
        queue.poll("me", takers[0])

    await MessageQueue.instance("other").poll_once("me", timeout=0, on_unsubscribe=again)
    await MessageQueue.instance("more").poll_once("me", timeout=0)
    queue.poll("me", takers[1])
    assert MessageQueue._registry.clients == 1
    await queue.publish({"n": 1})
    assert [taker.calls for taker in takers] == [[], [[1]]]


@pytest.mark.gen_test
async def test_refused_clients_leave_nothing(make_queue, limit):
    """Refused clients leave no clients and no channels behind."""
    limit(max_clients=0)
    for i in range(1000):
        with refused(503, "too many clients"):
            MessageQueue.instance(f"refused{i}").poll_once("me", Taker())
    assert not [queue for queue in MessageQueue.channels() if "refused" in queue.channel]


@pytest.mark.parametrize("name", ["x" * 1025, "é" * 5000])
@pytest.mark.gen_test
async def test_long_names(queue, name):
    """A name of a channel or client of more than 1024 characters raises a 400."""
    with refused(400, "a channel's name is longer than 1024 characters"):
        MessageQueue.instance(name)
    for poll in (queue.poll, queue.poll_once):
        with refused(400, "client_id is longer than 1024 characters"):
            poll(name)
    assert not queue.clients


@pytest.mark.parametrize("name", [1.5, True, b"room", ["room"]])
@pytest.mark.gen_test
async def test_names_are_text(queue, name):
    """A name that is not a str raises a TypeError and leaves nothing behind."""
    before = len(MessageQueue.channels())
    with pytest.raises(TypeError, match="a channel's name must be a str, not"):
        MessageQueue.instance(name)
    for poll in (queue.poll, queue.poll_once):
        with pytest.raises(TypeError, match="client_id must be a str, not"):
            poll(name)
    assert len(MessageQueue.channels()) == before


@pytest.mark.gen_test
async def test_max_size(monkeypatch):
    """Beyond `max_size`, the longest deserted channels lose events; a 503 if none is left."""
    monkeypatch.setattr(MessageQueue, "max_size", 3000)
    text = "x" * 1000
    rooms = [MessageQueue.instance(str(number)) for number in range(6)]
    for room in rooms:
        room.publish({"text": text})
    held = [len(room.backlog_events) for room in rooms]
    assert held[0] == 0
    assert held[-1] == 1
    for room in rooms:
        room.poll_once("me", timeout=0)
        room.poll("stays", lambda *events: None)
    while MessageQueue._registry.size <= 3000:
        rooms[-1].publish({"text": text})
    with pytest.raises(Error.HTTP, match="too many events"):
        rooms[-1].publish({"text": text})


@pytest.mark.engines("memory")  # this engine keeps all events here and limits channels
@pytest.mark.gen_test
async def test_an_answer_is_bounded(queue):
    """A long poll is answered with at most 1 MiB; the rest comes with the next polls."""
    for number in range(5):
        queue.publish({"n": number, "text": "x" * 400_000})
    got = [numbers(await queue.poll_once("me", timeout=0)) for _ in range(4)]
    assert got == [[0, 1], [2, 3], [4], []]

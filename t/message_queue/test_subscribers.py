"""Each subscriber counts once, and `on_unsubscribe` is called once when it leaves."""

import asyncio

import pytest
from message_queue.fakes import FakePeer, Taker, events, numbers, turn

from tatsumaki_py import Error, MessageQueue
from tatsumaki_py.message_queue import peer as peers


class Gone:
    """A callback that counts its calls."""

    def __init__(self):
        self.count = 0

    def __call__(self):
        self.count += 1


@pytest.fixture
def gone():
    """The callback that the tests pass as `on_unsubscribe`."""
    return Gone()


@pytest.mark.gen_test
async def test_stream_that_is_closed(queue, gone, clock):
    """A client that closes its stream leaves immediately, and only once; it comes back as new."""
    peer = FakePeer()
    assert queue.poll("me", peer.on_new_event, on_unsubscribe=gone).new
    assert (queue.subscribers, gone.count) == (1, 0)
    peer.leave()
    assert (queue.subscribers, gone.count) == (0, 1)
    assert queue.poll("me", FakePeer().on_new_event, on_unsubscribe=gone).new
    assert queue.subscribers == 1
    queue.poll("other", Taker()).cancel()
    await clock.advance(31)
    assert (queue.subscribers, gone.count) == (1, 1)


@pytest.mark.engines("memory")  # the test checks right after calling `publish`
@pytest.mark.gen_test
async def test_long_polls_one_after_the_other(queue, gone, clock):
    """A client of long polls is one subscriber from its first poll until it is forgotten."""
    peer = FakePeer()
    assert queue.poll_once("me", peer.answer, on_unsubscribe=gone).new
    for n in range(3):
        queue.publish({"n": n})
        assert (queue.subscribers, gone.count) == (1, 0)
        await clock.advance(20)
        assert not queue.poll_once("me", FakePeer().answer, on_unsubscribe=gone).new
    queue.publish({"n": 9})
    await clock.advance(29)
    assert (queue.subscribers, gone.count) == (1, 0)
    await clock.advance(2)
    assert (queue.subscribers, gone.count) == (0, 1)
    assert not queue.clients


@pytest.mark.gen_test
async def test_long_poll_that_is_closed(queue, gone):
    """A long poll's client that closes its connection leaves immediately."""
    waiting, answering = FakePeer(), FakePeer()
    queue.poll_once("waiting", waiting.answer, on_unsubscribe=gone)
    waiting.leave()
    assert (queue.subscribers, gone.count) == (0, 1)
    queue.poll_once("answering", answering.on_new_event, on_unsubscribe=gone)
    queue.publish({"n": 1})
    assert (queue.subscribers, gone.count) == (1, 1)
    answering.leave()
    assert (queue.subscribers, gone.count) == (0, 2)


@pytest.mark.engines("memory")  # the test checks right after calling `publish`
@pytest.mark.gen_test
async def test_without_a_name(queue, gone):
    """An anonymous client leaves when its answer is complete, as it cannot come back by name."""
    peer = FakePeer()
    assert queue.poll_once(None, peer.answer, on_unsubscribe=gone).new
    assert (queue.subscribers, gone.count) == (1, 0)
    queue.publish({"n": 1})
    assert peer.calls == [[1]]
    assert (queue.subscribers, gone.count) == (0, 1)
    stream = FakePeer()
    queue.poll(None, stream.on_new_event, on_unsubscribe=gone)
    stream.complete()
    assert (queue.subscribers, gone.count) == (0, 2)


@pytest.mark.gen_test
async def test_clients_without_a_name(make_queue, clock):
    """Each anonymous poll is a separate client; missed events are kept for `reconnect_time`."""
    queue = make_queue(backlog_length=1)
    (first,) = await queue.publish({"n": 0})
    peers = [FakePeer(cursor=first) for _ in range(3)]
    for peer in peers:
        queue.poll(None, peer.on_new_event)
    assert (len(queue.clients), queue.subscribers) == (3, 3)
    assert not any(client.named for client in queue.clients.values())
    peers[0].leave()
    await queue.publish(*events(1, 2, 3))
    assert [peer.calls for peer in peers] == [[], [[1, 2, 3]], [[1, 2, 3]]]
    again = FakePeer(cursor=first)
    queue.poll(None, again.on_new_event)
    assert again.calls == [[1, 2, 3]]
    await clock.advance(31)
    assert (len(queue.clients), queue.subscribers) == (3, 3)


@pytest.mark.gen_test
async def test_ended_by_the_server(queue, gone, clock):
    """The client of a stream that the server ends is expected back and stays a subscriber."""
    peer = FakePeer()
    queue.poll("me", peer.on_new_event, on_unsubscribe=gone)
    peer.complete()
    assert (queue.subscribers, gone.count) == (1, 0)
    assert not queue.poll("me", FakePeer().on_new_event).new
    await clock.advance(100)
    assert (queue.subscribers, gone.count) == (1, 0)


@pytest.mark.parametrize("kind", ["poll", "poll_once"])
@pytest.mark.gen_test
async def test_disconnect(queue, gone, clock, kind):
    """After `disconnect`, a named client is expected back; an anonymous client leaves."""
    getattr(queue, kind)("me", FakePeer().answer, on_unsubscribe=gone)
    getattr(queue, kind)(None, FakePeer().answer, on_unsubscribe=gone)
    assert queue.subscribers == 2
    queue.disconnect()
    assert (queue.subscribers, gone.count) == (1, 1)
    await clock.advance(31)
    assert (queue.subscribers, gone.count) == (0, 2)


@pytest.mark.gen_test
async def test_reset(queue, gone):
    """`reset` calls `on_unsubscribe` for each subscriber."""
    queue.poll("me", FakePeer().on_new_event, on_unsubscribe=gone)
    MessageQueue.reset()
    assert (queue.subscribers, gone.count) == (0, 1)


@pytest.mark.gen_test
async def test_superseded(queue, gone):
    """Another poll of a client is the same subscriber; the latest `on_unsubscribe` is called."""
    never = Gone()
    peers = [FakePeer() for _ in range(3)]
    assert queue.poll("me", peers[0].on_new_event, on_unsubscribe=never).new
    assert not queue.poll("me", peers[1].on_new_event, on_unsubscribe=gone).new
    assert not queue.poll_once("me", peers[2].on_new_event).new
    peers[0].leave()
    peers[1].leave()
    assert (queue.subscribers, gone.count) == (1, 0)
    peers[2].leave()
    assert (queue.subscribers, gone.count, never.count) == (0, 1, 0)


@pytest.mark.parametrize("kind", ["poll", "poll_once"])
@pytest.mark.gen_test
async def test_cancelled(queue, gone, kind):
    """A client leaves when its poll or the coroutine that awaits it is cancelled."""
    getattr(queue, kind)("me", Taker(), on_unsubscribe=gone).cancel()
    assert (queue.subscribers, gone.count) == (0, 1)

    async def wait():
        poll = getattr(queue, kind)("task", on_unsubscribe=gone)
        return await (poll if kind == "poll_once" else anext(poll))

    task = asyncio.ensure_future(wait())
    await turn()
    assert queue.subscribers == 1
    task.cancel()
    await turn()
    del task
    assert (queue.subscribers, gone.count) == (0, 2)


@pytest.mark.gen_test
async def test_awaited(queue, gone, clock):
    """After an awaited poll, the client stays a subscriber for `reconnect_time`."""
    await queue.publish({"n": 1})
    assert numbers(await queue.poll_once("me", on_unsubscribe=gone)) == [1]
    assert (queue.subscribers, gone.count) == (1, 0)
    await clock.advance(31)
    assert (queue.subscribers, gone.count) == (0, 1)


@pytest.mark.engines("memory")  # the test checks right after calling `publish`
@pytest.mark.gen_test
async def test_callback_that_fails(queue, gone):
    """A client whose callback raises `Error.HTTP` leaves."""

    class Failing(FakePeer):
        def on_new_event(self, *events):
            raise Error.HTTP(403)

    queue.poll("stream", Failing().on_new_event, on_unsubscribe=gone)
    queue.poll_once("once", Failing().on_new_event, on_unsubscribe=gone)
    assert queue.subscribers == 2
    queue.publish({"n": 1})
    assert (queue.subscribers, gone.count) == (0, 2)


@pytest.mark.gen_test
async def test_nobody_to_serve(queue, gone):
    """A request whose client has left makes no subscriber."""
    peer = FakePeer()
    peer.leave()
    poll = queue.poll("me", peer.on_new_event, on_unsubscribe=gone)
    assert (poll.new, queue.subscribers, gone.count) == (False, 0, 0)


LINE = r"on_unsubscribe of client \w{8} on channel 'room' raised"


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.gen_test
async def test_hook_that_fails(queue, expect_log, later):
    """An exception in `on_unsubscribe` is logged, and other clients are not affected."""

    def fail():
        raise RuntimeError("boo")

    async def fail_later():
        await asyncio.sleep(0)
        fail()

    taker = Taker()
    poll = queue.poll("me", Taker(), on_unsubscribe=fail_later if later else fail)
    queue.poll("other", taker)
    with expect_log("tatsumaki", LINE):
        poll.cancel()
        await turn()
    await queue.publish({"n": 1})
    assert (taker.calls, queue.subscribers) == ([[1]], 1)


@pytest.mark.engines("memory")  # the test checks right after calling `publish`
@pytest.mark.gen_test
async def test_hook_that_publishes_and_polls(queue, clock):
    """`on_unsubscribe` can publish and poll, even for its own client."""
    taker = Taker()

    def hook():
        queue.publish({"type": "left", "n": queue.subscribers})
        queue.poll("me", taker, last_event_id=queue.cursor())

    others = Taker()
    queue.poll("other", others)
    queue.poll("me", Taker(), on_unsubscribe=hook).cancel()
    assert (others.calls, queue.subscribers) == ([[1]], 2)
    queue.poll_once("third", FakePeer().answer, 0, on_unsubscribe=hook)
    await clock.advance(31)
    assert others.calls == [[1], [2]]
    assert queue.subscribers == 2
    await queue.publish({"n": 3})
    assert taker.calls == [[2], [3]]


@pytest.mark.engines("memory")  # the test checks right after calling `publish`
@pytest.mark.gen_test
async def test_hook_in_the_middle_of_a_delivery(queue):
    """An event that `on_unsubscribe` publishes during a delivery comes after the current one."""
    first, last = Taker(), Taker()
    queue.poll("first", first)

    class Failing(FakePeer):
        def on_new_event(self, *events):
            raise Error.ClientDisconnect

    queue.poll("bad", Failing().on_new_event, on_unsubscribe=lambda: queue.publish({"n": 2}))
    queue.poll("last", last)
    queue.publish({"n": 1})
    assert first.calls == last.calls == [[1], [2]]


@pytest.mark.gen_test
async def test_hook_belongs_to_no_request(queue, gone):
    """A poll in `on_unsubscribe` does not belong to the request in which it is called."""
    seen = []
    peer = FakePeer()
    queue.poll("me", peer.on_new_event, on_unsubscribe=lambda: seen.append(peers.of(None)))
    token = peers.current.set(lambda: FakePeer())
    try:
        peer.leave()
    finally:
        peers.current.reset(token)
    assert seen == [None]


def test_in_the_next_loop():
    """A client of a closed loop is unsubscribed in the next loop."""
    queue, gone = MessageQueue.instance("subscribers of a loop"), Gone()
    queue.reconnect_time = 0.02

    async def answered():
        queue.publish({"n": 1})
        await queue.poll_once("me", on_unsubscribe=gone)

    async def wait():
        queue.poll("other", Taker())
        await asyncio.sleep(0.05)

    try:
        asyncio.run(answered())
        assert (queue.subscribers, gone.count) == (1, 0)
        asyncio.run(wait())
        assert (queue.subscribers, gone.count) == (1, 1)
    finally:
        del queue.reconnect_time

"""Clients wait until the engine has loaded a log or found their place."""

import asyncio
import gc

import pytest
from message_queue.fakes import FakePeer, Taker, events, numbers, turn
from support.answers import until
from support.delayed import Delayed

from tatsumaki_py import Error, MessageQueue
from tatsumaki_py.message_queue import State

pytestmark = pytest.mark.engines("late")
AWAY = Error.HTTP(503, "the store is away")


@pytest.fixture
def stuck(queue, engine):
    """The engine of `queue`, which loads nothing until `failing` is cleared."""
    MessageQueue._registry.engine.failing["load"] = "never"
    return MessageQueue._registry.engine


@pytest.fixture
def elsewhere(engine):
    """A function that makes this process behave like another process with the same store."""
    here = MessageQueue._registry.engine

    def move():
        MessageQueue.reset()
        # The test still holds some queues.
        MessageQueue._registry.instances.clear()
        MessageQueue._registry.merged.clear()
        MessageQueue.configure(Delayed(here.store, settled=True))

    return move


@pytest.mark.gen_test
async def test_time_out(queue, stuck, clock):
    """A long poll times out while the log is loading, and its client is still new after that."""
    peer, taker = FakePeer(), Taker()
    queue.poll_once("me", peer.answer, 10)
    queue.poll_once(None, taker, 10)
    task = asyncio.ensure_future(wait(queue.poll_once("task", timeout=10)))
    await clock.advance(9)
    assert {client.state for client in queue.clients.values()} == {State.LOADING}
    assert peer.calls == taker.calls == []
    await clock.advance(2)
    assert (peer.told, taker.calls) == ([[]], [[]])
    assert await task == []
    assert queue.clients["me"].state is State.ABSENT
    stuck.failing.clear()
    await queue.publish({"n": 1})
    assert numbers(await queue.poll_once("me")) == [1]


async def wait(poll):
    return await poll


@pytest.mark.gen_test
async def test_no_waiting(queue, stuck, clock):
    """A poll with a timeout of 0 waits at most a few seconds for the log to load."""
    await queue.publish({"n": 1})
    here, taker = asyncio.ensure_future(wait(queue.poll_once("me", timeout=0))), Taker()
    await turn()
    assert not here.done()
    stuck.failing.clear()
    assert numbers(await here) == [1]
    stuck.failing["load"] = "never"
    MessageQueue.instance("other").poll_once("me", taker, 0)
    await clock.advance(4)
    assert taker.calls == []
    await clock.advance(2)
    assert taker.calls == [[]]
    stuck.failing.clear()


@pytest.mark.gen_test
async def test_nothing_grows(queue, stuck, clock):
    """When polls end, their searches for a place end with them."""
    for _ in range(20):
        queue.poll_once(None, Taker(), 1)
        queue.poll_once("me", Taker(), 1)
        await clock.advance(2)
    gc.collect()
    searches = [task for task in asyncio.all_tasks() if "_locate" in repr(task.get_coro())]
    assert searches == []
    stuck.failing.clear()


@pytest.mark.gen_test
async def test_polls_again(queue, stuck):
    """The second poll of a client takes over while its place is unknown, and is not new."""
    first, second = FakePeer(), FakePeer()
    poll = queue.poll_once("me", first.answer)
    again = queue.poll("me", second.on_new_event)
    assert first.told == [[]]
    assert (poll.cursor, again.cursor) == ("", "")
    assert (poll.new, again.new) == (True, False)
    stuck.failing.clear()
    (id,) = await queue.publish({"n": 1})
    await until(lambda: second.calls == [[1]])
    assert second.told[0] == queue._channel.floor
    assert queue.clients["me"].cursor == id


@pytest.mark.gen_test
async def test_leaves(queue, stuck):
    """A client that leaves during loading is not called; an anonymous one is forgotten."""
    peers = [FakePeer() for _ in range(3)]
    queue.poll("me", peers[0].on_new_event)
    queue.poll(None, peers[1].on_new_event)
    queue.poll_once(None, peers[2].answer)
    for peer in peers:
        peer.leave()
    assert [*queue.clients] == ["me"]
    stuck.failing.clear()
    await queue.publish({"n": 1})
    assert [peer.told for peer in peers] == [[], [], []]
    assert numbers(await queue.poll_once("me")) == [1]


@pytest.mark.gen_test
async def test_disconnect_and_flush(queue, stuck):
    """During loading, `disconnect` ends all polls, and an empty `publish` answers long polls."""
    once, stream, flushed = FakePeer(), FakePeer(), Taker()
    queue.poll_once("once", once.answer)
    queue.poll("stream", stream.on_new_event)
    queue.disconnect()
    assert (once.told, stream.told, stream.finished) == ([[]], [], True)
    queue.poll_once("flushed", flushed)
    queue.publish()
    assert flushed.calls == [[]]
    stuck.failing.clear()
    await queue.publish({"n": 1})
    assert numbers(await queue.poll_once("once")) == [1]
    assert numbers(await queue.poll_once("stream")) == [1]


@pytest.mark.gen_test
async def test_nothing_between_loading_and_listening(make_queue, stuck):
    """An event accepted right after loading reaches a waiting client, even without a backlog."""
    queue, taker = make_queue(backlog_length=0), Taker()
    queue.poll("me", taker)
    await turn()
    feed = stuck.feeds["room"]
    stuck.failing.clear()
    stuck.loading.discard("room")
    ids = stuck.store.append(feed, [b'{"n":1}'])
    before = stuck.store.logs["room"][0].prev
    feed.load(before, ())
    feed.accept(stuck.store.logs["room"])
    await until(lambda: taker.calls == [[1]])
    assert queue.cursor() == ids[0]


@pytest.mark.gen_test
async def test_ready(queue, engine):
    """After `ready`, `cursor` and `backlog_events` are correct, and the channel does not stay
    attached. A poll has no cursor until its channel is loaded.
    """
    ids = await queue.publish(*events(1, 2))
    assert (queue.cursor(), queue.backlog_events) == ("", [])
    await asyncio.gather(queue.ready(), queue.ready())
    assert (queue.cursor(), numbers(queue.backlog_events)) == (ids[-1], [1, 2])
    engine = MessageQueue._registry.engine
    assert [call for call in engine.calls if call in ("attach", "detach")] == ["attach", "detach"]
    poll = queue.poll("me", Taker())
    assert engine.calls.count("attach") == 2
    assert poll.cursor == ""
    poll.cancel()
    await turn(10)


@pytest.mark.gen_test
async def test_linger(queue, clock):
    """A log without listeners is kept up to date for a while, and is then unloaded."""
    await queue.publish({"n": 1})
    await queue.ready()
    await clock.advance(50)
    await queue.publish({"n": 2})
    assert numbers(queue.backlog_events) == [1, 2]
    await clock.advance(20)
    assert queue.backlog_events == []
    assert (MessageQueue._registry.size, MessageQueue._registry.holding) == (0, {})
    assert numbers(await queue.poll_once("me")) == [1, 2]


@pytest.mark.gen_test
async def test_unload_with_listeners(queue):
    """If a log is unloaded, it is loaded again, and listeners miss no event."""
    taker = Taker()
    queue.poll("me", taker)
    await queue.publish({"n": 1})
    engine = MessageQueue._registry.engine
    engine.drop(engine.feeds["room"])
    await queue.publish({"n": 2})
    await until(lambda: taker.calls == [[1], [2]])


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.gen_test
async def test_a_message_is_lost(make_queue, lost):
    """After a lost message, clients get the missing events, or a gap if they are not kept."""
    queue = make_queue(backlog_length=2)
    stream, once = Taker(), Taker()
    queue.poll("stream", stream)
    queue.poll_once("once", once)
    await queue.poll_once("away", timeout=0)
    await queue.publish({"n": 1})
    assert numbers(await queue.poll_once("away")) == [1]
    engine = MessageQueue._registry.engine
    engine.lose.add("room")
    await queue.publish({"n": 2})
    assert stream.calls == [[1]]
    await queue.publish({"n": 3})
    if lost:
        engine.lose.add("room")
        await queue.publish(*events(4, 5, 6))
        engine.store.trim("room", 1)
        await queue.publish({"n": 7})
        await until(lambda: stream.seen == [1, 2, 3, "gap", 6, 7])
        assert numbers(await queue.poll_once("away")) == ["gap", 6, 7]
        assert numbers(await queue.poll_once("once")) == ["gap", 6, 7]
    else:
        await until(lambda: stream.seen == [1, 2, 3])
        assert numbers(await queue.poll_once("away")) == [2, 3]


@pytest.mark.gen_test
async def test_newer_than_the_log(queue):
    """A client whose cursor is an event that this process does not have yet gets no gap."""
    taker = Taker()
    queue.poll("me", taker)
    await queue.publish({"n": 1})
    MessageQueue._registry.engine.lose.add("room")
    (id,) = await queue.publish({"n": 2})
    assert queue.cursor() != id
    assert await queue.poll_once(None, timeout=0, last_event_id=id) == []
    assert taker.calls == [[1], [2]]
    await queue.publish({"n": 3})
    assert numbers(await queue.poll_once(None, last_event_id=queue.cursor(), timeout=0)) == []
    assert taker.calls == [[1], [2], [3]]


@pytest.mark.gen_test
async def test_older_than_the_log(make_queue, elsewhere):
    """A cursor older than the log here gets no gap if the engine has the events that follow."""
    queue = make_queue()
    ids = await queue.publish(*events(*range(20)))
    elsewhere()
    queue = MessageQueue.instance("room")
    queue.backlog_length = 3
    takers = [Taker() for _ in ids]
    for taker, id in zip(takers, ids, strict=True):
        queue.poll(None, taker, last_event_id=id)
    await queue.publish({"n": 20})
    for n, taker in enumerate(takers):
        await until(lambda taker=taker, n=n: taker.seen == [*range(n + 1, 21)])
    assert numbers(await queue.poll_once(None)) == [18, 19, 20]
    assert numbers(await queue.poll_once(None, last_event_id="1-1"))[0] == "gap"


@pytest.mark.gen_test
async def test_what_is_prepended_goes_again(make_queue, elsewhere, clock):
    """Prepended events are kept for about `reconnect_time` after their client left."""
    ids = await make_queue().publish(*events(*range(20)))
    elsewhere()
    queue = MessageQueue.instance("room")
    queue.backlog_length = 3
    assert len(await queue.poll_once(None, last_event_id=ids[0])) == 19
    assert len(queue._channel.log) == 19
    await clock.advance(31)
    await clock.advance(31)
    assert len(queue._channel.log) <= 3


@pytest.mark.gen_test
async def test_a_name_that_was_elsewhere(make_queue, elsewhere):
    """A name that polled another process resumes its place, with one or several channels."""
    queue = make_queue()
    both = MessageQueue.instance("other", "room")
    await queue.publish({"n": 1})
    assert numbers(await queue.poll_once("me")) == [1]
    assert [event["n"] for event in await both.poll_once("me")] == [1]
    await queue.publish({"n": 2})
    elsewhere()
    queue, both = MessageQueue.instance("room"), MessageQueue.instance("other", "room")
    await MessageQueue.instance("other").publish({"n": 3})
    assert numbers(await queue.poll_once("me")) == [2]
    assert sorted(event["n"] for event in await both.poll_once("me")) == [2, 3]


@pytest.mark.gen_test
async def test_to_and_fro(make_queue, engine):
    """If a known name was in another process in the meantime, its place there counts."""
    queue = make_queue()
    ids = await queue.publish({"n": 1})
    assert numbers(await queue.poll_once("me")) == [1]
    ids = await queue.publish({"n": 2})
    there = Delayed(MessageQueue._registry.engine.store)
    there.remember(("room",), "me", ids[0], 30.0)
    await queue.publish({"n": 3})
    assert numbers(await queue.poll_once("me")) == [3]
    await there.close()

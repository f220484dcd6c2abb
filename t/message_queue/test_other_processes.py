"""A named client that moves between processes is taken over, and leaves only once."""

import pytest
from message_queue.fakes import FakePeer, Taker, numbers, turn
from support.answers import until

from tatsumaki_py import MessageQueue
from tatsumaki_py.message_queue import State


@pytest.fixture
def queue(other_process):
    """The queue of the channel "room"."""
    return MessageQueue.instance("room")


ME = (("room",), "me")


async def listening(queue, name="me"):
    """Wait until the client is listening."""
    await until(lambda: queue.clients[name].state is State.LISTENING)


@pytest.mark.gen_test
async def test_moves_away(queue, other_process):
    """If a client moves away, its poll ends, its place is passed on, and no hook is called."""
    gone = []
    (id,) = await queue.publish({"n": 1})
    once, stream = FakePeer(id), FakePeer(id)
    queue.poll_once("me", once.answer, on_unsubscribe=lambda: gone.append("me"))
    queue.poll("you", stream.on_new_event, on_unsubscribe=lambda: gone.append("you"))
    await listening(queue)
    await listening(queue, "you")
    for name in ("me", "you"):
        assert not await other_process.arrive(("room",), name, "", 30.0)
        assert await other_process.reached(("room",), name) == id
    assert (once.told, once.finished) == ([id, []], True)
    assert (stream.told, stream.finished) == ([id], True)
    assert (dict(queue.clients), queue.subscribers) == ({}, 0)
    await turn(20)
    assert gone == []


@pytest.mark.gen_test
async def test_moves_away_behind(queue, other_process):
    """The place of a client that moves away is before its unsent events and those in doubt."""
    ids = await queue.publish({"n": 1}, {"n": 2}, {"n": 3})
    peer = FakePeer(ids[0])
    queue.poll("me", peer.on_new_event)
    await until(lambda: [2, 3] in peer.calls)
    peer.unsent = ids[1]
    await other_process.arrive(*ME, "", 30.0)
    assert await other_process.reached(*ME) == ids[1]
    peer = FakePeer(ids[0])
    await queue.poll("me", peer.on_new_event).arrival
    await until(lambda: [2, 3] in peer.calls)
    peer.in_doubt = True
    await other_process.arrive(*ME, "", 30.0)
    assert await other_process.reached(*ME) == ids[0]


@pytest.mark.gen_test
async def test_an_absent_client_moves_away(queue, other_process):
    """If an absent client moves away, its place is passed on, and no hook is called here."""
    gone = []
    ids = await queue.publish({"n": 1}, {"n": 2})
    await queue.poll_once("me", timeout=0, on_unsubscribe=lambda: gone.append("me"))
    assert queue.clients["me"].state is State.ABSENT
    await other_process.arrive(*ME, "", 30.0)
    assert await other_process.reached(*ME) == ids[1]
    assert dict(queue.clients) == {}
    assert gone == []


@pytest.mark.gen_test
async def test_moves_here(queue, other_process):
    """A client that moves here resumes at the place of its poll in the other process."""
    ids = await queue.publish({"n": 1}, {"n": 2}, {"n": 3})
    await other_process.arrive(*ME, "", 30.0)
    other_process.engine.remember(*ME, ids[0], 30.0)
    other_process.clients.places[ME] = ids[1]
    assert numbers(await queue.poll_once("me")) == [3]
    assert other_process.clients.taken == [ME]


@pytest.mark.gen_test
async def test_a_paused_process(queue, other_process):
    """A paused process is not awaited for long: the client resumes at its remembered place."""
    ids = await queue.publish({"n": 1}, {"n": 2}, {"n": 3})
    await other_process.arrive(*ME, "", 30.0)
    other_process.engine.remember(*ME, ids[0], 30.0)
    other_process.paused = True
    assert numbers(await queue.poll_once("me")) == [2, 3]
    other_process.paused = False
    await until(lambda: other_process.clients.taken)


@pytest.mark.gen_test
async def test_a_cursor_waits_for_nobody(queue, other_process):
    """A client with a cursor is served immediately; its poll in the other process ends later."""
    await queue.ready()
    ids = await queue.publish({"n": 1}, {"n": 2})
    await other_process.arrive(*ME, "", 30.0)
    other_process.paused = True
    queue.poll("you", Taker())
    await listening(queue, "you")
    taker = Taker()
    queue.poll("me", taker, last_event_id=ids[0])
    assert taker.seen == [2]
    other_process.paused = False
    await until(lambda: other_process.clients.taken == [ME])


@pytest.mark.gen_test
async def test_gone_everywhere(queue, other_process):
    """The last process of a client calls `on_unsubscribe` when the client is in no process."""
    gone, peer = [], FakePeer()
    poll = queue.poll("me", peer.on_new_event, on_unsubscribe=lambda: gone.append(1))
    assert await poll.arrival
    peer.leave()
    await until(lambda: gone == [1])
    peer = FakePeer()
    queue.poll("me", peer.on_new_event, on_unsubscribe=lambda: gone.append(2))
    # The client moves to the other process before this one knows that it has left.
    other_process.paused = True
    await until(lambda: other_process.store.present)
    await other_process.arrive(*ME, "", 30.0)
    peer.leave()
    await turn(40)
    assert gone == [1]
    assert await other_process.gone(*ME)


@pytest.mark.gen_test
async def test_merged(queue, other_process):
    """A client of several channels is a separate client, and can also move between processes."""
    both, peer = MessageQueue.instance("room", "hall"), FakePeer()
    await both.ready()
    both.poll("me", peer.on_new_event)
    await listening(both)
    place = both.cursor()
    assert await other_process.arrive(*ME, "", 30.0)
    assert not await other_process.arrive(("hall", "room"), "me", "", 30.0)
    assert await other_process.reached(("hall", "room"), "me") == place
    assert peer.finished


@pytest.mark.gen_test
async def test_count(queue, other_process):
    """`count_subscribers` counts the clients of all processes, even anonymous and merged ones."""
    other_process.clients.places = {(("room",), "a"): "", (("hall", "room"), "b"): ""}
    both = MessageQueue.instance("room", "hall")
    assert await queue.count_subscribers() == 1
    for name in ("me", None, None):
        queue.poll(name, Taker())
    both.poll(None, Taker())
    assert queue.subscribers == 4
    assert await queue.count_subscribers() == 5
    assert await both.count_subscribers() == 2
    assert await other_process.count(("room",)) == 4
    assert await other_process.count(("hall", "room")) == 1


def test_count_in_memory(io_loop):
    """With an engine of one process, `count_subscribers` returns `subscribers`."""
    queue = MessageQueue.instance("room")

    async def count():
        queue.poll("me", Taker())
        return queue.subscribers, await queue.count_subscribers()

    assert io_loop.run_sync(count) == (1, 1)


@pytest.mark.gen_test
async def test_disconnect(queue, other_process):
    """`disconnect` ends polls in all processes; it returns whether one ended in this process."""
    assert queue.disconnect() is False
    assert queue.disconnect("me") is False
    await until(lambda: len(other_process.clients.received) == 2)
    peers = {name: FakePeer() for name in ("me", "you", "both")}
    for name in ("me", "you"):
        queue.poll(name, peers[name].on_new_event)
    both = MessageQueue.instance("room", "hall")
    both.poll("both", peers["both"].on_new_event)
    every, me = other_process.clients.received
    receive = MessageQueue._registry.processes.receive
    receive(me)
    assert [name for name, peer in peers.items() if peer.finished] == ["me"]
    both.disconnect("nobody")
    await until(lambda: len(other_process.clients.received) == 3)
    receive(other_process.clients.received[2])
    receive(every)
    assert all(peer.finished for peer in peers.values())


@pytest.mark.gen_test
async def test_a_message_of_another_version(queue, other_process, expect_log):
    """An unknown message from another process is ignored or logged."""
    receive = MessageQueue._registry.processes.receive
    receive(b'{"do":"dance"}')
    with expect_log("tatsumaki", "a message from another process"):
        receive(b'{"do":"disconnect"}')


@pytest.mark.gen_test
async def test_polls_again_elsewhere_and_here(queue, other_process):
    """A client that moves back and forth misses no event, and leaves no poll behind."""
    got = []
    for n in range(10):
        await queue.publish({"n": n})
        if n % 2:
            other_process.arrive(*ME, "", 30.0)
            other_process.clients.places[ME] = await other_process.reached(*ME)
        else:
            got += numbers(await queue.poll_once("me"))
    assert got == [*range(9)]
    assert await queue.count_subscribers() == 1

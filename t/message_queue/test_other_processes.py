"""Named clients that move between processes: taken over, counted and told of once."""

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
    """Waits until the client listens."""
    await until(lambda: queue.clients[name].state is State.LISTENING)


@pytest.mark.gen_test
async def test_moves_away(queue, other_process):
    """A long poll is answered with no events and its place, a stream is finished; no hook."""
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
    """What its connection did not take comes again, and what may not have arrived, too."""
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
    """Its place is told; this process does not say later that it has gone."""
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
    """It begins where its poll in the other process has been."""
    ids = await queue.publish({"n": 1}, {"n": 2}, {"n": 3})
    await other_process.arrive(*ME, "", 30.0)
    other_process.engine.remember(*ME, ids[0], 30.0)
    other_process.clients.places[ME] = ids[1]
    assert numbers(await queue.poll_once("me")) == [3]
    assert other_process.clients.taken == [ME]


@pytest.mark.gen_test
async def test_a_paused_process(queue, other_process):
    """It is not waited for long; then events come twice rather than never."""
    ids = await queue.publish({"n": 1}, {"n": 2}, {"n": 3})
    await other_process.arrive(*ME, "", 30.0)
    other_process.engine.remember(*ME, ids[0], 30.0)
    other_process.paused = True
    assert numbers(await queue.poll_once("me")) == [2, 3]
    other_process.paused = False
    await until(lambda: other_process.clients.taken)


@pytest.mark.gen_test
async def test_a_cursor_waits_for_nobody(queue, other_process):
    """A client that says where it is, is served at once; its poll elsewhere ends all the same."""
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
    """`on_unsubscribe` is called if the client is in no process, and by the last one it was in."""
    gone, peer = [], FakePeer()
    poll = queue.poll("me", peer.on_new_event, on_unsubscribe=lambda: gone.append(1))
    assert await poll.arrival
    peer.leave()
    await until(lambda: gone == [1])
    peer = FakePeer()
    queue.poll("me", peer.on_new_event, on_unsubscribe=lambda: gone.append(2))
    # It comes to the other process before this one knows that it has left.
    other_process.paused = True
    await until(lambda: other_process.store.present)
    await other_process.arrive(*ME, "", 30.0)
    peer.leave()
    await turn(40)
    assert gone == [1]
    assert await other_process.gone(*ME)


@pytest.mark.gen_test
async def test_merged(queue, other_process):
    """A client of several channels is another one; all processes know it by the same name."""
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
    """The subscribers of all processes, those without a name and of several channels, too."""
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
    """With an engine of one process it is the same number."""
    queue = MessageQueue.instance("room")

    async def count():
        queue.poll("me", Taker())
        return queue.subscribers, await queue.count_subscribers()

    assert io_loop.run_sync(count) == (1, 1)


@pytest.mark.gen_test
async def test_disconnect(queue, other_process):
    """It ends the polls in all processes, and says whether there was one in this one."""
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
    """A message that is not understood is ignored or logged, and harms nothing."""
    receive = MessageQueue._registry.processes.receive
    receive(b'{"do":"dance"}')
    with expect_log("tatsumaki", "a message from another process"):
        receive(b'{"do":"disconnect"}')


@pytest.mark.gen_test
async def test_polls_again_elsewhere_and_here(queue, other_process):
    """A client that goes to and fro misses nothing, and no poll stays behind."""
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

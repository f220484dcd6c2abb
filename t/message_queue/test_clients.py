"""clients, channel and channels: what there is, to look at."""

import pytest
from message_queue.fakes import FakePeer, Taker

from tatsumaki_py import MessageQueue
from tatsumaki_py.message_queue import State


@pytest.mark.gen_test
async def test_clients(queue, clock):
    """Those who listen or are expected back, with what they are doing."""
    queue.poll("stream", Taker())
    queue.poll_once("once", Taker())
    queue.poll_once("busy", FakePeer().on_new_event, timeout=0)
    await queue.poll_once("away", timeout=0)
    assert {id: client.state for id, client in queue.clients.items()} == {
        "stream": State.LISTENING,
        "once": State.LISTENING,
        "busy": State.DELIVERING,
        "away": State.ABSENT,
    }
    assert all(id == client.id for id, client in queue.clients.items())
    away = queue.clients["away"]
    await clock.advance(31)
    assert "away" not in queue.clients
    assert away.state is State.GONE


@pytest.mark.gen_test
async def test_view(queue):
    """It follows what happens, and cannot be changed."""
    clients = queue.clients
    queue.poll("me", Taker())
    assert len(clients) == 1
    with pytest.raises(TypeError):
        clients["x"] = None


@pytest.mark.gen_test
async def test_names(make_queue):
    """A queue knows its channel; the same name is the same queue."""
    queue = make_queue("röom")
    assert queue.channel == "röom"
    assert MessageQueue.instance("röom") is queue
    assert queue in MessageQueue.channels()
    assert "'röom'" in repr(queue)

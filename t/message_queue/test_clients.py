"""clients, channel and channels: a program can look at clients and channels."""

import pytest
from message_queue.fakes import FakePeer, Taker

from tatsumaki_py import MessageQueue
from tatsumaki_py.message_queue import State


@pytest.mark.gen_test
async def test_clients(queue, clock):
    """`clients` contains the clients that listen or are expected back, with their states."""
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
    """`clients` is a live, read-only view."""
    clients = queue.clients
    queue.poll("me", Taker())
    assert len(clients) == 1
    with pytest.raises(TypeError):
        clients["x"] = None


@pytest.mark.gen_test
async def test_names(make_queue):
    """A queue knows its channel; `instance` returns the same queue for the same name."""
    queue = make_queue("röom")
    assert queue.channel == "röom"
    assert MessageQueue.instance("röom") is queue
    assert queue in MessageQueue.channels()
    assert "'röom'" in repr(queue)

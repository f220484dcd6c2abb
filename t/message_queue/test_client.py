"""A client's cursor moves only when its events have arrived."""

from message_queue.fakes import Taker

from tatsumaki_py.message_queue.client import (
    ABSENT,
    DELIVERING,
    GONE,
    LISTENING,
    Client,
    Listener,
    Place,
)


def listening(cursor="1-0"):
    client = Client("me", Place(cursor))
    client.listen(Listener(None, Taker(), once=True))
    return client


def test_new():
    """A new client is absent and has the given cursor."""
    client = Client("me", Place("1-0"))
    assert (client.state, client.cursor, client.listener) == (ABSENT, "1-0", None)


def test_confirmed():
    """The cursor moves when the delivery is confirmed."""
    client = listening()
    client.deliver(Place("5-0"))
    assert (client.state, client.cursor) == (DELIVERING, "1-0")
    client.confirm()
    assert (client.state, client.cursor) == (LISTENING, "5-0")


def test_vanished_on_the_way():
    """A client that leaves during a delivery keeps its old cursor."""
    client = listening()
    client.deliver(Place("5-0"))
    client.leave(now=100.0, reconnect_time=30.0)
    assert (client.state, client.cursor) == (ABSENT, "1-0")
    assert client.listener is None


def test_late():
    """`is_late` is true only for an absent client whose deadline has passed."""
    client = listening()
    assert not client.is_late(10.0**9)
    client.leave(now=100.0, reconnect_time=30.0)
    assert [client.is_late(now) for now in (0.0, 129.99, 130.0, 131.0)] == [
        False,
        False,
        True,
        True,
    ]
    client.forget()
    assert client.state is GONE
    assert not client.is_late(10.0**9)

"""Connections and bytes are counted exactly once, however a connection ends."""

import pytest
from support.wire import soon

from tatsumaki_py import Snapshot


@pytest.fixture
def handler(handler):
    handler.group = lambda self: "everyone"
    return handler


@pytest.mark.gen_test
async def test_ends(handler, subscriber, queue, stream):
    """Each connection is counted as opened once and as ended once, whichever side ends it."""
    before = Snapshot.take()
    clients = [subscriber(stream) for _ in range(9)]
    for client in clients:
        await client.open()
    queue.publish("x")
    await soon(lambda: len(queue.clients) == 9)
    assert Snapshot.take().connections[stream] - before.connections[stream] == 9
    for client in clients[:3]:
        client.close()
    for client in clients[3:6]:
        client.connection.reset()
    await soon(lambda: len(queue.clients) == 3)
    assert handler.disconnect("everyone") == 3
    for client in clients:
        client.close()
    await soon(lambda: Snapshot.take().connections == before.connections)
    now = Snapshot.take()
    assert now.connections_opened[stream] - before.connections_opened[stream] == 9
    reasons = now.connections_ended[stream].keys() | before.connections_ended[stream].keys()
    ended = {
        reason: now.connections_ended[stream].get(reason, 0)
        - before.connections_ended[stream].get(reason, 0)
        for reason in reasons
    }
    assert sum(ended.values()) == 9
    assert ended["finished"] == 3


@pytest.mark.gen_test
async def test_bytes(handler, subscriber, queue, stream):
    """The counted bytes are those that a client gets after the headers."""
    queue.publish("old")
    before = Snapshot.take()
    client = subscriber(stream, last_event_id=0)
    await client.request()
    await client.connection.read_until(b"\r\n\r\n")
    await soon(lambda: queue.clients)
    for number in range(5):
        queue.publish({"n": number})
    await soon(lambda: _delivered(stream, before) == 6)
    handler.disconnect("everyone")
    if stream == "websocket":
        # The server waits for the client's close frame.
        await client.send(b"\x03\xe8", 8)
    got = await client.connection.read_all()
    await soon(lambda: Snapshot.take().connections == before.connections)
    assert Snapshot.take().sent_bytes[stream] - before.sent_bytes[stream] == len(got)


def _delivered(stream, before):
    return Snapshot.take().events_delivered[stream] - before.events_delivered[stream]

"""A cursor from before a restart, or from another server, leads to a gap over every transport."""

import gc

import pytest
from support.wire import soon

from tatsumaki_py import MessageQueue

QUERIES = {"one": {}, "several": {"path": "/events", "channel": ["other", "room"]}}


def restart():
    """Restart the server, as far as clients can tell."""
    MessageQueue.reset()
    gc.collect()


@pytest.mark.parametrize("channels", QUERIES)
@pytest.mark.gen_test
async def test_an_empty_channel(subscriber, transport, channels):
    """A client that subscribed to an empty channel, and missed an event and a restart, gets
    a gap.
    """
    client = subscriber(transport, timeout=0, **QUERIES[channels])
    await client.open()
    if client.cursor is None:
        # The first message of a WebSocket, or the first Server-Sent Event, contains the cursor.
        await soon(lambda: MessageQueue.instance("room").subscribers)
        client.cursor = MessageQueue.instance(*QUERIES[channels].get("channel", ["room"])).cursor()
    client.close()
    await soon(lambda: not MessageQueue.instance("room").subscribers)
    MessageQueue.instance("room").publish({"n": 1})
    restart()
    MessageQueue.instance("room").publish({"n": 2})
    again = subscriber(transport, cursor=client.cursor, **QUERIES[channels])
    await again.open()
    messages = [await again.next()]
    while messages[-1].gap:
        messages.append(await again.next())
    assert len(messages) == (2 if channels == "one" else 3)
    assert messages[-1].data == {"n": 2}


@pytest.mark.parametrize("cursor", ["41", "x", "1-0", "0-0", "0-0,0-0", "9" * 300, "a b", "é"])
@pytest.mark.gen_test
async def test_of_another_server(subscriber, transport, cursor):
    """An unknown cursor leads to a gap, not to a 400, after which an EventSource would give up."""
    MessageQueue.instance("room").publish({"n": 1})
    client = subscriber(transport, cursor=cursor)
    await client.open()
    gap, event = await client.next(), await client.next()
    assert (gap.gap, event.gap, event.data) == (True, False, {"n": 1})

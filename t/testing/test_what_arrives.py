"""Clients see the ends of channels, and checks notice that nothing can arrive."""

import pytest

from tatsumaki_py.testing import Ended, Refused, Subscriber
from tatsumaki_py.testing.readers import READERS


async def read_again(client):
    await client.reconnect()
    await client.next()


@pytest.mark.parametrize("transport", READERS)
@pytest.mark.gen_test
async def test_the_end_of_a_channel(url, queue, transport):
    """The end is a message, and the last one of an iteration; `reconnect` resumes after it."""
    end = {"type": "end"}
    async with Subscriber(url, transport) as client, Subscriber(url, transport).follow() as other:
        await queue.publish("one")
        await queue.end()
        messages = [message async for message in client]
        assert [(one.data, one.end) for one in messages] == [("one", False), (end, True)]
        assert [message.data async for message in other] == ["one", end]
        assert client.ended
        assert other.ended
        await queue.publish("more")
        await client.reconnect()
        assert (await client.next()).data == "more"
        assert not client.ended
        await client.assert_delivered(["one", end, "more"], allow_gap=False)


@pytest.mark.gen_test
async def test_nothing_more_to_come(http_server, base_url):
    """A 204 says that no more events will come."""
    for transport in ("sse", "long-poll"):
        client = Subscriber(f"{base_url}/gone", transport).follow()
        assert [message async for message in client] == []
        assert client.ended
        await client.aclose()
    with pytest.raises(Ended):
        await Subscriber(f"{base_url}/gone").start()


@pytest.mark.parametrize("transport", READERS)
@pytest.mark.gen_test
async def test_all_of_an_ended_channel(url, queue, transport):
    """A client that has all events of an ended channel learns this when it reconnects, and has
    missed nothing.
    """
    end = {"type": "end"}
    async with Subscriber(url, transport) as client:
        await queue.publish("one")
        await queue.end()
        await client.take(2)
        with pytest.raises(Ended):
            await read_again(client)
        assert client.connections[-1].end == "ended by the server"
        await client.assert_delivered(["one", end], allow_gap=False)
        with pytest.raises(AssertionError, match="is missing at the end"):
            await client.assert_delivered(["one", end, "more"])


@pytest.mark.parametrize("transport", ["sse", "long-poll", "interval-poll"])
@pytest.mark.gen_test
async def test_nothing_to_deliver(url, http_server, base_url, transport):
    """A check that no event arrives is valid only for a client that has subscribed."""
    async with Subscriber(url, transport) as client, Subscriber(url, transport).follow() as other:
        await client.assert_delivered([])
        await other.assert_delivered([])
    nowhere = "http://127.0.0.1:1/events/room"
    if transport != "sse":
        with pytest.raises(ConnectionRefusedError):
            await Subscriber(nowhere, transport).assert_delivered([])
        with pytest.raises(Refused, match="404"):
            await Subscriber(f"{base_url}/nowhere", transport).assert_delivered([])
    async with Subscriber(nowhere, transport).follow() as client:
        late = r"^the client did not subscribe within 0\.05 s\n(.*\n)+.*ConnectionRefusedError"
        with pytest.raises(AssertionError, match=late):
            await client.assert_delivered([], timeout=0.05)
    client = Subscriber(f"{base_url}/nowhere", transport).follow()
    with pytest.raises(Refused, match="404"):
        await client.assert_delivered([])
    with pytest.raises(Refused, match="404"):
        await client.aclose()


@pytest.mark.gen_test
async def test_a_channel_too_many(url, queue):
    """A client of one channel must not use `channel`, which would match none of its messages."""
    async with Subscriber(url) as client:
        queue.publish("one")
        for events in (["one"], []):
            with pytest.raises(
                AssertionError, match="for a client of one channel, leave out `channel`"
            ):
                await client.assert_delivered(events, channel="room")
        await client.assert_delivered(["one"])

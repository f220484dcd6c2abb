"""One connection can carry several channels, with one cursor."""

import asyncio
import random

import pytest
from support.subscriber import CLIENTS

from tatsumaki_py import MessageQueue
from tatsumaki_py.testing import Ended


@pytest.fixture
def queues():
    return {name: MessageQueue.instance(name) for name in ("a", "b")}


@pytest.fixture
def both():
    return MessageQueue.instance("a", "b")


@pytest.fixture
def follow(subscriber, both):
    """Make a client of both channels."""

    def follow(transport, cursor=None, **options):
        options.setdefault("channel", ["b", "a"])
        cursor = both.cursor() if cursor is None else cursor
        return subscriber(transport, path="/events", cursor=cursor, **options)

    return follow


async def read(client, count):
    async with asyncio.timeout(10):
        return [await client.next() for _ in range(count)]


@pytest.mark.gen_test
async def test_events_say_their_channel(follow, queues, both, transport):
    """Each event has the name of its channel, and events arrive in the order of publishing."""
    client = follow(transport)
    await client.start()
    for number in range(20):
        queues["a" if number % 3 else "b"].publish({"n": number})
    messages = await read(client, 20)
    assert [message.data for message in messages] == [{"n": number} for number in range(20)]
    assert [message.channel for message in messages] == [
        "a" if number % 3 else "b" for number in range(20)
    ]
    assert client.cursor == both.cursor()


@pytest.mark.parametrize("after", CLIENTS)
@pytest.mark.gen_test
async def test_resume(follow, queues, transport, after):
    """A client of several channels resumes with one cursor, over any transport."""
    first = follow(transport)
    await first.start()
    queues["a"].publish({"n": 1})
    queues["b"].publish({"n": 2})
    await read(first, 2)
    first.close()
    queues["b"].publish({"n": 3}, {"n": 4})
    queues["a"].publish({"n": 5})
    second = follow(after, first.cursor)
    await second.start()
    queues["b"].publish({"n": 6})
    got = [message.data["n"] for message in await read(second, 4)]
    assert sorted(got) == [3, 4, 5, 6]
    assert [number for number in got if number != 5] == [3, 4, 6]


@pytest.mark.gen_test
async def test_gap(follow, queues, transport):
    """A gap in one channel has the name of this channel, and no event of the other channel
    is lost.
    """
    queues["a"].recovery_time = 0
    queues["b"].publish({"n": 0})
    old = queues["b"].cursor()
    queues["a"].publish(*({"n": number} for number in range(40)))
    client = follow(transport, f"1-0,{old}")
    await client.start()
    queues["b"].publish({"n": 100})
    messages = await read(client, 32)
    gaps = [message for message in messages if message.gap]
    assert [(gap.channel, gap.data["after"]) for gap in gaps] == [("a", f"1-0,{old}")]
    numbers = [message.data["n"] for message in messages if not message.gap]
    assert numbers == [*range(10, 40), 100]
    again = follow(transport, gaps[0].data["id"])
    await again.start()
    assert [message.data["n"] for message in await read(again, 31)] == [*range(10, 40), 100]


@pytest.mark.parametrize("cursor", ["1-0", "1-0,2-0,3-0", "x,y", ",", "1-0,x"])
@pytest.mark.gen_test
async def test_bad_cursor(follow, queues, cursor):
    """A cursor of other channels leads to a gap in each channel, followed by the backlog."""
    queues["a"].publish({"n": 1})
    client = follow("sse", cursor)
    assert (await client.open()).status == 200
    messages = await read(client, 3)
    assert [message.gap for message in messages] == [True, True, False]
    assert messages[-1].data == {"n": 1}


@pytest.mark.gen_test
async def test_one_channel_twice(subscriber, queues, transport):
    """A channel that is named twice counts once, and its events look like those of one channel."""
    queues["a"].publish({"n": 1})
    client = subscriber(transport, path="/events", channel=["a", "a"])
    await client.open()
    (message,) = await read(client, 1)
    assert (message.data, message.channel) == ({"n": 1}, None)


@pytest.mark.gen_test
async def test_the_server_goes(follow, queues, stream):
    """The stream of a client of several channels ends if one of its channels is disconnected."""
    client = follow(stream)
    await client.open()
    queues["b"].disconnect()
    with pytest.raises(Ended):
        await read(client, 1)


@pytest.mark.gen_test
async def test_while_coming_and_going(follow, queues, transport):
    """No event is lost or arrives twice while the client keeps leaving and reconnecting."""
    for queue in queues.values():
        queue.backlog_length = queue.buffer_length = 10_000
    client = follow(transport)
    source = random.Random(transport)
    sent = {"a": [], "b": []}
    got = {"a": [], "b": []}

    def take(message):
        got[message.channel].append(message.data["n"])

    async def publish():
        while not done:
            name = source.choice("ab")
            sent[name].append(len(sent[name]))
            queues[name].publish({"n": sent[name][-1]})
            await asyncio.sleep(0)

    done = False
    publishing = asyncio.ensure_future(publish())
    for turn in range(30):
        await client.open()
        for _ in range(turn % 4):
            take(await client.next())
        for message in client.unread:
            # The client has received these messages, and its cursor is after them.
            take(message)
        client.unread.clear()
        client.close()
    done = True
    await publishing
    await client.open()
    async with asyncio.timeout(5):
        while got != sent:
            take(await client.next())
            assert len(got["a"]) <= len(sent["a"])
            assert len(got["b"]) <= len(sent["b"])

"""Connections are cut at random places: each client gets every event once and in order. Events are
published through the same proxy, and publishers also repeat failed requests.
"""

import asyncio
import json
import random

import pytest
from support.subscriber import CLIENTS
from support.wire import read_reply

from tatsumaki_py import MessageQueue
from tatsumaki_py.testing import Connection, Subscriber
from tatsumaki_py.testing.following import LOST

COUNT = 40
CHANNELS = "other", "room"
TEXTS = ["", "é☃𝄞", "a\r\nb\rc\nd", "\u2028\x00", "x" * 300, "y" * 1500]


def reader(proxy, transports, rng, channels=("room",), client_id=None):
    """A client that reconnects with its cursor over one of these transports."""
    path, params = (
        ("/events/room", {}) if len(channels) == 1 else ("/events", {"channel": channels})
    )
    return Subscriber(
        f"{proxy.url}{path}",
        rng.choices(transports, k=1000),
        cursor=MessageQueue.instance(*channels).cursor(),
        client_id=client_id,
        params=params,
    )


async def read(client):
    """Read until the client has all events of all channels."""
    client.follow(pause=0)
    async with client:
        for channel in client.params.get("channel", (None,)):
            await client.assert_delivered(EVENTS, allow_gap=False, channel=channel, timeout=40)


def event(number):
    return {"n": number, "text": TEXTS[number % len(TEXTS)]}


EVENTS = [event(number) for number in range(COUNT)]


async def publish(port, channel, rng):
    """Publish all events, a few at a time; repeat a request with the same key if its answer is
    lost.
    """
    number = 0
    while number < COUNT:
        end = min(COUNT, number + rng.randint(1, 5))
        body = json.dumps([event(number) for number in range(number, end)]).encode()
        head = (
            f"POST /publish/{channel} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"Idempotency-Key: {number}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        while True:
            client = await Connection.connect(port)
            try:
                await client.send(head.encode() + body)
                reply = await read_reply(client)
                assert (reply.status, len(json.loads(reply.body)["ids"])) == (200, end - number)
                break
            except LOST:
                await asyncio.sleep(0)
            finally:
                client.close()
        number = end
        await asyncio.sleep(rng.random() * 0.01)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.gen_test(timeout=40)
async def test_every_event_once(subscribe_handler, proxy, seed, monkeypatch):
    """Each client gets every event once, on one transport or on changing ones, with one channel or
    two. Some streams end normally.
    """
    rng = random.Random(seed)
    # Often too few bytes for a request or a head, sometimes enough for everything.
    proxy.budget = lambda: int(200 * rng.paretovariate(0.7))
    proxy.rng = rng
    monkeypatch.setattr(subscribe_handler, "max_stream_time", 0.5)
    monkeypatch.setattr(MessageQueue, "backlog_length", COUNT)
    readers = [reader(proxy, [name], rng) for name in CLIENTS]
    readers += [reader(proxy, [name], rng, CHANNELS) for name in CLIENTS]
    for name in (None, "a"):
        readers.append(reader(proxy, [*CLIENTS], rng, client_id=name))
        readers.append(reader(proxy, [*CLIENTS], rng, CHANNELS, client_id=name))
    async with asyncio.TaskGroup() as tasks:
        for channel in CHANNELS:
            tasks.create_task(publish(proxy.port, channel, rng))
        for client in readers:
            tasks.create_task(read(client))
    for channel in CHANNELS:
        events = MessageQueue.instance(channel).backlog_events
        assert events == EVENTS
    assert sum(len(client.connections) for client in readers) > 5 * len(readers)

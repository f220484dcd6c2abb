"""Connections are cut anywhere, again and again: each client has every event once, in order.

Events are published through the same proxy, and those who publish ask again, too.
"""

import asyncio
import json
import random

import pytest
from support.follower import LOST, Follower
from support.raw import RawClient
from support.subscriber import CLIENTS
from support.wire import read_reply

from tatsumaki_py import MessageQueue

COUNT = 40
CHANNELS = "other", "room"
TEXTS = ["", "é☃𝄞", "a\r\nb\rc\nd", "\u2028\x00", "x" * 300, "y" * 1500]


class Reader(Follower):
    """A client that comes back with its cursor, until it has all events of all channels."""

    pause = 0

    def __init__(self, port, transports, rng, channels=("room",), **query):
        path = "/events/room"
        if len(channels) > 1:
            path, query["channel"] = "/events", channels
        cursor = MessageQueue.instance(*channels).cursor()
        super().__init__(port, transports, rng, path, cursor, **query)
        self.numbers = {channel: [] for channel in channels}

    async def read(self):
        """Reads all."""
        self.start()
        await self.until(Reader.done, 40)
        await self.stop()

    def done(self):
        return all(len(numbers) == COUNT for numbers in self.numbers.values())

    def take(self, message):
        assert not message.gap, f"{self.name}: {message}"
        numbers = self.numbers[message.channel or "room"]
        assert message.data == event(len(numbers)), self.name
        numbers.append(message.data["n"])


def event(number):
    return {"n": number, "text": TEXTS[number % len(TEXTS)]}


async def publish(port, channel, rng):
    """Publishes all events, some at a time; asks again with the same key if the answer is lost."""
    number = 0
    while number < COUNT:
        end = min(COUNT, number + rng.randint(1, 5))
        body = json.dumps([event(number) for number in range(number, end)]).encode()
        head = (
            f"POST /publish/{channel} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"Idempotency-Key: {number}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        while True:
            client = await RawClient.connect(port)
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
    """On every transport, and when another one is taken each time; of one channel and of two. Some
    streams end regularly.
    """
    rng = random.Random(seed)
    # Often less than a request or a head, sometimes enough for all.
    proxy.budget = lambda: int(200 * rng.paretovariate(0.7))
    proxy.rng = rng
    monkeypatch.setattr(subscribe_handler, "max_stream_time", 0.5)
    monkeypatch.setattr(MessageQueue, "backlog_length", COUNT)
    readers = [Reader(proxy.port, [name], rng) for name in CLIENTS]
    readers += [Reader(proxy.port, [name], rng, CHANNELS) for name in CLIENTS]
    for who in ({}, {"client_id": "a"}):
        readers.append(Reader(proxy.port, list(CLIENTS), rng, **who))
        readers.append(Reader(proxy.port, list(CLIENTS), rng, CHANNELS, **who))
    async with asyncio.TaskGroup() as tasks:
        for channel in CHANNELS:
            tasks.create_task(publish(proxy.port, channel, rng))
        for reader in readers:
            tasks.create_task(reader.read())
    for channel in CHANNELS:
        events = MessageQueue.instance(channel).backlog_events
        assert events == [event(number) for number in range(COUNT)]
    assert sum(len(reader.connections) for reader in readers) > 5 * len(readers)

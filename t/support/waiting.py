"""Clients that wait for events of the channel "room", and how soon they get them."""

import asyncio
import time

from support.answers import until
from support.subscriber import CLIENTS, STREAMS

from tatsumaki_py import MessageQueue

WAITING = [*STREAMS, "long-poll"]
AT_ONCE = 0.5  # seconds; an event that is held back comes only with the end of the answer


def listening():
    """How many clients are waiting for events of the channel."""
    queue = MessageQueue.instance("room")
    return sum(client.state.name == "LISTENING" for client in queue.clients.values())


async def subscribed(raw, port, transport, count=1, **headers):
    """The connection of a new client; with it, `count` clients are waiting for events."""
    subscriber = CLIENTS[transport](port, connect=raw, headers=headers)
    await subscriber.request()
    await until(lambda: listening() == count)
    return subscriber.connection


async def comes_at_once(client, queue, number, seconds=AT_ONCE):
    """Publishes an event, and fails unless it arrives within `seconds`."""
    queue.publish({"n": number})
    started = time.monotonic()
    await asyncio.wait_for(client.read_until(b'"n":%d' % number), 5)
    assert time.monotonic() - started < seconds

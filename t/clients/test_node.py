"""Clients from npm: EventSource libraries, and `ws`."""

import asyncio
import json
from pathlib import Path

import pytest
from support.lossy import misses_nothing
from support.outside import find_program, node_environment, running

PROGRAM = Path(__file__).parent / "node/subscribe.js"
CLIENTS = [
    "eventsource",
    "eventsource-4",
    "event-source-polyfill",
    "eventsource-client",
    "launchdarkly-eventsource",
    "ws",
]

pytestmark = pytest.mark.parametrize("client", CLIENTS)


@pytest.fixture
def subscribe():
    """`subscribe(client, url)` gives the events that the program prints.

    With `places`, it also gives the cursors that the program gets: ``{"cursor": {"id": ...}}``.
    """
    node, environment = find_program("node", "nodejs npm"), node_environment()

    async def subscribe(client, url, places=False):
        async with running(node, PROGRAM, client, url, env=environment) as process:
            async for line in process.stdout:
                event = json.loads(line)
                if places or "cursor" not in event:
                    yield event

    return subscribe


@pytest.mark.gen_test
async def test_misses_nothing(queue, proxy, url, subscribe, client):
    """The client gets all events once and in order, though its connection is cut."""
    await misses_nothing(queue, proxy, subscribe(client, url))
    assert proxy.accepted >= 3


@pytest.mark.gen_test
async def test_regular_end(queue, proxy, url, subscribe, client):
    """The client reconnects after the server has ended the stream, and misses no event."""
    events = subscribe(client, url)
    queue.publish({"n": 1})
    assert await anext(events) == {"n": 1}
    queue.disconnect()
    queue.publish({"n": 2})
    assert await anext(events) == {"n": 2}
    await events.aclose()


@pytest.mark.gen_test
async def test_cut_before_the_first_event(queue, proxy, url, subscribe, client):
    """A client whose connection is cut before its first event gets all events that it missed."""
    events = subscribe(client, url, places=True)
    assert await anext(events) == {"cursor": {"id": queue.cursor()}}
    proxy.down = True
    proxy.cut()
    for number in range(100):
        queue.publish({"n": number})
    await asyncio.sleep(0.05)
    proxy.down = False
    got = [event async for event in take(events, 101) if "cursor" not in event]
    assert got == [{"n": number} for number in range(100)]
    await events.aclose()


async def take(events, count):
    for _ in range(count):
        yield await anext(events)

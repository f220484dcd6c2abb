"""A network that loses connections, and a check that no event is lost nevertheless."""

import asyncio
import contextlib

import pytest

from tatsumaki_py.testing import Proxy


@pytest.fixture
def proxy(http_server, http_port, io_loop):
    """A `Proxy` in front of the application under test."""
    proxy = Proxy(http_port)
    io_loop.run_sync(proxy.start)
    yield proxy
    io_loop.run_sync(proxy.stop)


BIG = {"big": "é\n" * 200_000}
ROUNDS = [
    # Published while the client is connected.
    [
        {"text": "plain"},
        {"text": "Grüße ☃ 𝄞 \u2028 \u2029 \x85 \x0b \x0c \x1e \ufeff \x00 \x7f", "é": None},
    ],
    # Published while the client is disconnected.
    [
        {"text": "a\nb\r\nc\rd\n\n"},
        {"text": 'data: x\nid: 9-9\n\n: \\ " --', "": [[], {}, 1.5, -0.0, True]},
        {},
    ],
    # The connection is cut in the middle of the first of these.
    [BIG, {"text": "last"}],
]
"""The events that `misses_nothing` publishes."""


async def misses_nothing(queue, proxy, client):
    """Fails unless `client` gets all `ROUNDS` once and in order, though its connection is cut.

    Args:
        client: an asynchronous iterator of events.
    """
    here, away, cut = ROUNDS
    received = []

    async def collect():
        async for data in client:
            received.append(data)

    async def until(condition):
        while not condition():
            if task.done():
                task.result()
            await asyncio.sleep(0.005)

    task = asyncio.ensure_future(collect())
    try:
        await until(lambda: queue.clients)
        for event in here:
            queue.publish(event)
        await until(lambda: len(received) == 2)
        proxy.down = True
        proxy.cut()
        for event in away:
            queue.publish(event)
        await asyncio.sleep(0.05)
        proxy.down = False
        await until(lambda: len(received) == 5)
        proxy.cut_after(300_000)
        for event in cut:
            queue.publish(event)
        await until(lambda: len(received) >= 7)
        # A repeated event would come now.
        await asyncio.sleep(0.05)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await client.aclose()
    assert received == here + away + cut

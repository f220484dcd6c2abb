"""WebSocket clients send all kinds of frames, read slowly, and leave in many ways."""

import asyncio
import collections
import contextlib
import itertools
import json
import random

import pytest
from support.wire import open_sockets, soon

from tatsumaki_py.push import websocket_socket

TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA


@pytest.fixture
def ended(handler):
    """Count how often each handler's end hooks are called."""
    ended = collections.defaultdict(collections.Counter)
    handler.open = lambda self, channel: ended[self].update()
    handler.on_close = lambda self: ended[self].update(["close"])
    handler.on_finish = lambda self: ended[self].update(["finish"])
    return ended


def some_frames():
    """Yield the bytes of random frames, mostly valid, with a mask of zeros."""
    opened = False
    while True:
        first, payload = (
            0x80 | random.choice([PING, PONG]),
            random.randbytes(random.randint(0, 125)),
        )
        if random.random() < 0.5:
            final = random.random() < 0.5
            first = 0x80 * final | (0 if opened else TEXT)
            payload, opened = b"a" * random.randint(0, 125), not final
        elif random.random() < 0.05:
            first, payload = 0x80 | CLOSE, random.choice([b"", b"\x03\xe8", b"x", b"\0\0"])
        if random.random() < 0.02:
            yield random.randbytes(9)
        yield bytes([first, 0x80 | len(payload), 0, 0, 0, 0]) + payload


async def talk(client):
    for data in some_frames():
        step = random.choice([1, 1000])
        for at in range(0, len(data), step):
            await client.connection.send(data[at : at + step])
        await asyncio.sleep(random.random() / 50)


async def listen(client):
    """Read until the server closes, and check that frames are whole and events are in order."""
    last = -1
    while True:
        first, size = await client.connection.read_exactly(2)
        if size == 126:
            size = int.from_bytes(await client.connection.read_exactly(2))
        data = await client.connection.read_exactly(size)
        if first == 0x80 | CLOSE:
            return
        assert first in (0x80 | TEXT, 0x80 | PING, 0x80 | PONG)
        message = json.loads(data) if first == 0x80 | TEXT else {}
        if "data" in message:
            assert message["data"]["n"] > last
            last = message["data"]["n"]
        if random.random() < 0.3:
            await asyncio.sleep(random.random() / 100)


async def live(client):
    """Connect twice."""
    for _ in range(2):
        with contextlib.suppress(TimeoutError, OSError, EOFError):
            await client.open()
            talking = asyncio.ensure_future(talk(client))
            try:
                async with asyncio.timeout(random.random() / 2):
                    await listen(client)
            finally:
                talking.cancel()
                await asyncio.wait([talking])
                with contextlib.suppress(OSError, asyncio.CancelledError):
                    talking.result()
        # asyncio releases the descriptor late, when another connection may have the same number.
        await asyncio.sleep(0.02)
        if random.random() < 0.3:
            client.connection.reset()
        client.close()


async def publish(queue, ended):
    """Publish events, and now and then end one connection or all of them."""
    for number in itertools.count():
        queue.publish({"n": number, "x": "y" * random.choice([1, 100, 2000])})
        if ended and random.random() < 0.02:
            random.choice(list(ended)).finish()
        if random.random() < 0.005:
            queue.disconnect()
        if random.random() < 0.2:
            await asyncio.sleep(random.random() / 50)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.gen_test(timeout=30)
async def test_chaos(
    handler, subscriber, queue, ended, http_port, raw_small, small_buffers, monkeypatch, seed
):
    """No message is broken or out of order, each end hook is called once, and no socket
    stays open.
    """
    random.seed(seed)
    monkeypatch.setattr(websocket_socket, "CLOSE_TIMEOUT", 0.3)
    handler.max_buffer = [3000, 20_000, 1_000_000][seed]
    handler.heartbeat_interval = 0.02
    handler.max_stream_time = [0.3, None, 0.3][seed]
    queue.buffer_length = [50, 1000, 100][seed]
    options = [{"connect": raw_small}, {"client_id": "a"}, {"connect": raw_small, "client_id": "b"}]
    clients = [subscriber("websocket", **options[number % 3]) for number in range(9)]
    publishing = asyncio.ensure_future(publish(queue, ended))
    await asyncio.gather(*map(live, clients))
    publishing.cancel()
    await soon(lambda: open_sockets(http_port) == 0)
    assert len(ended) > 10
    await soon(lambda: all(told == {"close": 1, "finish": 1} for told in ended.values()))

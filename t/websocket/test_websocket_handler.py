"""Events and messages can be pushed to a `WebSocketHandler`."""

import asyncio
import gc
import json
import weakref

import pytest
from support.wire import iterations, soon

from tatsumaki_py import Error
from tatsumaki_py.push.websocket_stream import WebSocketStream
from tatsumaki_py.testing import Ended


async def frame(client):
    """Read the next frame as (first byte, payload)."""
    first, size = await client.connection.read_exactly(2)
    if size > 125:
        size = int.from_bytes(await client.connection.read_exactly(2 if size == 126 else 8))
    return first, await client.connection.read_exactly(size)


@pytest.mark.gen_test
async def test_stream_write(connect):
    """Text is sent as text, bytes as binary, and other values as JSON, in order and at any size."""
    client, handler = await connect()
    sizes = [0, 1, 125, 126, 65535, 65536, 300_000]
    for size in sizes:
        handler.stream_write("x" * size)
        handler.stream_write(b"\0" * size)
    handler.stream_write({"caf\u00e9": [1, None]})
    for size in sizes:
        assert await frame(client) == (0x81, b"x" * size)
        assert await frame(client) == (0x82, b"\0" * size)
    assert await frame(client) == (0x81, '{"caf\u00e9":[1,null]}'.encode())


@pytest.mark.parametrize("chunk", [object(), {"n": float("nan")}, {1, 2}])
@pytest.mark.gen_test
async def test_no_json(connect, chunk):
    """Writing a value that is not JSON raises an exception, and nothing is sent."""
    client, handler = await connect()
    with pytest.raises((TypeError, ValueError)):
        handler.stream_write(chunk)
    handler.stream_write("next")
    assert await frame(client) == (0x81, b"next")


@pytest.mark.gen_test
async def test_both_ways(connect):
    """Tornado's messages, pings and `write_message` still work."""
    client, handler = await connect()
    for number in range(3):
        handler.stream_write({"n": number})
        await handler.write_message({"m": number})
        await client.send(b"hello %d" % number, 0x1)
        await client.send(b"ping", 0x9)
    frames = [await frame(client) for _ in range(9)]
    assert [data for first, data in frames if first == 0x8A] == [b"ping"] * 3
    texts = [json.loads(data) for first, data in frames if first == 0x81]
    assert [text for text in texts if "n" in text] == [{"n": n} for n in range(3)]
    assert [text for text in texts if "m" in text] == [{"m": n} for n in range(3)]
    assert handler.messages == ["hello 0", "hello 1", "hello 2"]


@pytest.mark.gen_test
async def test_large_messages(connect):
    """A handler that reads messages accepts large ones, as in Tornado."""
    client, handler = await connect()
    await client.send(b"x" * 50_000, 0x1)
    await client.send(b"ping", 0x9)
    assert await frame(client) == (0x8A, b"ping")
    assert handler.messages == ["x" * 50_000]


@pytest.mark.gen_test
async def test_whole_frames(connect, small_buffers, raw_small):
    """A frame that is sent in pieces is not interrupted by any other frame."""
    client, handler = await connect(connect=raw_small)
    for number in range(10):
        handler.stream_write(b"%d" % number * 20_000)
        handler.write_message(b"%d" % number * 10_000, binary=True)
        await client.send(b"%d" % number, 0x9)
        await iterations()
    frames = []
    while sum(first == 0x82 for first, _ in frames) < 20:
        frames.append(await frame(client))
    messages = [data for first, data in frames if first == 0x82]
    sent = [b"%d" % number * size for number in range(10) for size in (20_000, 10_000)]
    assert messages == sent
    # Tornado answers only the newest of the pings that came while it could not write.
    pongs = [int(data) for first, data in frames if first == 0x8A]
    assert pongs == sorted(set(pongs))


@pytest.mark.parametrize("size", [1, 5_000])
@pytest.mark.gen_test
async def test_one_order(connect, small_buffers, raw_small, queue, size):
    """Frames of all writers arrive in the order of the writes, even at a slow client."""
    client, handler = await connect(connect=raw_small, id="ann")
    await client.step()
    expected = []

    def sent(first, data):
        expected.append((first, data))
        return data

    for number in range(60):
        if number % 3 == 0:
            handler.stream_write(sent(0x82, b"s%d" % number * size))
        if number % 4 == 0:
            handler.write_message(sent(0x82, b"m%d" % number * size), binary=True)
        if number % 5 == 0:
            handler.ping(sent(0x89, b"%d" % number))
        if number % 7 == 0:
            queue.publish({"n": number})
            sent(0x81, b'{"id":"%b","data":{"n":%d}}' % (queue.cursor().encode(), number))
        if number % 11 == 0:
            await iterations()
    handler.close(4000)
    sent(0x88, (4000).to_bytes(2))
    assert [await frame(client) for _ in expected] == expected


@pytest.mark.gen_test
async def test_backpressure(connect, small_buffers, raw_small):
    """A coroutine that awaits its writes is slowed down to the client's pace."""
    client, handler = await connect(connect=raw_small)
    written = []

    async def write():
        for number in range(20):
            await handler.stream_write(b"x" * 50_000)
            written.append(number)

    writing = asyncio.ensure_future(write())
    await asyncio.sleep(0.05)
    assert len(written) < 15
    for _ in range(20):
        assert (await frame(client))[0] == 0x82
    await writing


@pytest.mark.gen_test
async def test_cut_off(connect, queue, small_buffers, raw_small):
    """A client with too much waiting data is disconnected, and later writes raise an exception."""
    _client, handler = await connect(connect=raw_small)
    handler._live._max_buffer = 100_000

    async def write():
        for _ in range(20):
            handler.stream_write(b"x" * 20_000)
            await iterations()

    with pytest.raises(Error.ClientDisconnect):
        await write()
    await soon(lambda: handler.closed)
    with pytest.raises(Error.ClientDisconnect):
        handler.stream_write("x")


@pytest.mark.parametrize("wait", [True, False])
@pytest.mark.gen_test
async def test_close(connect, wait):
    """Earlier messages are sent before the close frame, and later writes raise an exception."""
    client, handler = await connect()
    handler.stream_write("last")
    if wait:
        await asyncio.sleep(0.01)
    handler.close(4001, "enough")
    with pytest.raises(Error.ClientDisconnect):
        handler.stream_write("x")
    assert await frame(client) == (0x81, b"last")
    assert await frame(client) == (0x88, (4001).to_bytes(2) + b"enough")
    await client.send((4001).to_bytes(2), 0x8)
    assert await client.connection.read_all() == b""
    await soon(lambda: handler.closed)
    assert (handler.closed, handler.close_code) == (1, 4001)


@pytest.mark.gen_test
async def test_close_after_much(connect, small_buffers, raw_small):
    """A slow client gets all messages before the close frame."""
    client, handler = await connect(connect=raw_small)
    for _ in range(10):
        handler.stream_write(b"x" * 30_000)
    handler.close()
    for _ in range(10):
        assert await frame(client) == (0x82, b"x" * 30_000)
    assert (await frame(client))[0] == 0x88


@pytest.mark.parametrize("how", ["close", "reset", "frame"])
@pytest.mark.gen_test
async def test_the_client_leaves(connect, queue, how):
    """The queue learns immediately that the client has left, and `on_close` is called once."""
    client, handler = await connect(id="ann")
    assert queue.clients["ann"].listener is not None
    assert await client.step() is None
    if how == "frame":
        await client.send((1000).to_bytes(2), 0x8)
        assert await frame(client) == (0x88, (1000).to_bytes(2))
    getattr(client.connection, how if how != "frame" else "close")()
    await soon(lambda: queue.clients["ann"].listener is None)
    queue.publish({"n": 1})
    await soon(lambda: handler.closed)
    await iterations()
    assert (handler.closed, handler.finished) == (1, 1)


@pytest.mark.gen_test
async def test_end_of_the_queue(connect, queue):
    """When the queue disconnects its clients, the WebSocket is closed with 1001."""
    client, _ = await connect(id="ann")
    queue.disconnect()
    with pytest.raises(Ended) as ended:
        await client.take(1)
    assert ended.value.args == (1001,)


@pytest.mark.gen_test
async def test_close_fails(connect, queue, expect_log):
    """An exception in `close` is logged, and the other clients are still disconnected."""
    _, handler = await connect(id="ann")
    other, _ = await connect(id="bob")
    handler.close = None
    with expect_log("tornado.application", "Uncaught exception"):
        queue.disconnect()
    with pytest.raises(Ended):
        await other.take(1)


@pytest.mark.gen_test
async def test_open_fails(connect, expect_log):
    """An exception in `open` is logged, and the connection ends."""
    with expect_log("tornado.application", "Uncaught exception") as records:
        client, handler = await connect("/fail")
        await client.connection.read_all()
    assert str(records[0].exc_info[1]) == "on purpose"
    await soon(handler._peer_left)


@pytest.mark.gen_test
async def test_a_callback_fails(connect, queue, expect_log):
    """An exception in a callback closes its WebSocket with 1011; other clients get the event."""
    client, handler = await connect(id="ann")
    other, _ = await connect(id="bob")
    handler.stream_write = None
    with expect_log("tatsumaki", "ann"):
        queue.publish({"n": 1})
    # The first message contains the cursor.
    assert (await frame(client))[0] == 0x81
    assert await frame(client) == (0x88, (1011).to_bytes(2))
    assert await other.take(1) == [{"n": 1}]


@pytest.mark.gen_test
async def test_no_cycle(connect, queue, made):
    """A handler is freed in the iteration of the loop after its connection has ended."""
    client, handler = await connect(id="ann")
    queue.publish({"n": 1})
    await client.take(1)
    reference = weakref.ref(handler)
    made.clear()
    del handler
    gc.collect()
    gc.disable()
    try:
        client.close()
        await soon(lambda: queue.clients["ann"].listener is None)
        await iterations()
        assert reference() is None
    finally:
        gc.enable()


def streams():
    """The number of WebSocket streams that exist."""
    return sum(isinstance(thing, WebSocketStream) for thing in gc.get_objects())


@pytest.mark.gen_test
async def test_no_cycle_of_the_stream(connect, made):
    """A stream that the handler closes is freed without the garbage collector."""
    # Another test may have left a stream.
    before = streams()
    client, handler = await connect("/silent")
    assert streams() == before + 1
    gc.collect()
    gc.disable()
    try:
        handler.close()
        made.clear()
        del handler
        with pytest.raises(Ended):
            await client.take(1)
        client.close()
        await soon(lambda: streams() <= before)
    finally:
        gc.enable()

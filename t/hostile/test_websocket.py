"""Invalid frames close their connection, and no other client is affected."""

import asyncio
import contextlib
import os
import struct
import zlib

import pytest
from support.subscriber import CLIENTS
from support.wire import open_sockets, soon

from tatsumaki_py import MessageQueue

MASK = b"\x01\x02\x03\x04"
BIG = 2**63 - 1


def frame(first, data=b"", mask=MASK, size=None):
    """Returns a frame with this first byte. `size` replaces the length that the frame states."""
    size = len(data) if size is None else size
    bit = 0x80 if mask else 0
    if size < 126:
        head = struct.pack("!BB", first, bit | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", first, bit | 126, size)
    else:
        head = struct.pack("!BBQ", first, bit | 127, size)
    masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(data)) if mask else data
    return head + mask + masked


FATAL = {
    "giant": frame(0x81, b"x", size=BIG),
    "giant and signed": frame(0x81, b"x", size=2**64 - 1),
    "too large": frame(0x81, b"x", size=200 * 2**20),
    "giant fragments": frame(0x01, b"x") + frame(0x80, b"x", size=BIG),
    "fragmented ping": frame(0x09, b"x"),
    "fragmented close": frame(0x08, b"\x03\xe8"),
    "large ping": frame(0x89, b"x" * 126),
    "large close": frame(0x88, b"x" * 200),
    "reserved bit": frame(0xC1, b"x"),
    "all reserved bits": frame(0xF1, b"x"),
    "continues nothing": frame(0x80, b"x"),
    "two beginnings": frame(0x01, b"x") + frame(0x01, b"x"),
    "invalid UTF-8": frame(0x81, b"\xff\xfe"),
    "half a character": frame(0x81, b"\xe2\x98"),
    "surrogate": frame(0x81, b"\xed\xa0\x80"),
    "no frame": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 20,
    "zeros": b"\0" * 1000,
}
BORNE = {
    "unmasked": frame(0x81, b"x", mask=b""),
    "reserved opcode": frame(0x83, b"x"),
    "reserved control": frame(0x8F, b"x"),
    "empty": frame(0x81),
    "binary": frame(0x82, bytes(range(256))),
    "many pings": frame(0x89, b"x" * 125) * 500,
    "many pongs": frame(0x8A, b"x") * 500,
    "fragments": frame(0x01, b"x") + frame(0x00, b"x") * 500 + frame(0x80),
    "ping within": frame(0x01, b"x") + frame(0x89) + frame(0x80),
    "commands": frame(0x81, b'{"id":"0-0"}') + frame(0x81, b"[" * 50_000),
}


@pytest.fixture
def connect(server):
    """`client = await connect()` opens a WebSocket."""

    async def connect(**headers):
        client = CLIENTS["websocket"](server.port, connect=server.raw, headers=headers)
        assert (await client.open()).status == 101
        return client

    return connect


@pytest.mark.parametrize("data", FATAL.values(), ids=FATAL)
@pytest.mark.gen_test
async def test_what_is_no_frame(server, connect, data):
    """An invalid frame closes the connection, and another subscriber gets its events."""
    client, other = await connect(), await connect()
    with contextlib.suppress(ConnectionError):
        await client.connection.send(data)
        await asyncio.wait_for(client.connection.read_all(), 2)
    await soon(lambda: open_sockets(server.port) == 1)
    queue = MessageQueue.instance("room")
    queue.publish({"n": 1})
    assert await other.take(1) == [{"n": 1}]
    await server.is_well()


@pytest.mark.parametrize("data", BORNE.values(), ids=BORNE)
@pytest.mark.gen_test
async def test_what_means_nothing(server, connect, data):
    """A meaningless frame is ignored, or the connection is closed: no event arrives in part."""
    client, other = await connect(), await connect()
    await client.connection.send(data)
    await asyncio.sleep(0.02)
    queue = MessageQueue.instance("room")
    queue.publish({"n": 1})
    assert await other.take(1) == [{"n": 1}]
    if open_sockets(server.port) == 2:
        await asyncio.wait_for(client.connection.read_until(b'"data":{"n":1}}'), 2)
    await server.is_well()


@pytest.mark.parametrize(
    "data",
    [
        frame(0x88) * 3,
        frame(0x88, b"\x03\xe8") + frame(0x81, b"x") * 100,
        frame(0x88, b"\x03"),
        frame(0x88, b"\x00\x00"),
        frame(0x88, b"\xff\xff\xff\xfe"),
        frame(0x88, b"\x03\xed"),
    ],
)
@pytest.mark.parametrize("way", ["wait", "reset", "close"])
@pytest.mark.gen_test
async def test_closing(server, connect, data, way):
    """Any close frame ends the connection and the subscription."""
    clients = [await connect() for _ in range(5)]
    queue = MessageQueue.instance("room")
    assert queue.subscribers == 5
    for client in clients:
        await client.connection.send(data)
        queue.publish({"n": 1})
        if way != "wait":
            getattr(client.connection, way)()
    await soon(lambda: open_sockets(server.port) == 0)
    assert queue.subscribers == 0
    await server.is_well()


TOO_BIG = {
    "announced": frame(0x81, b"x" * 100, size=4097),
    "fragments": frame(0x01, b"x" * 4096) + frame(0x80, b"x"),
}


@pytest.mark.parametrize("data", TOO_BIG.values(), ids=TOO_BIG)
@pytest.mark.gen_test
async def test_messages_that_nobody_reads(server, connect, data):
    """Messages of up to 4 KB are ignored; a larger one closes the connection before its end."""
    client = await connect()
    await client.connection.send(frame(0x81, b"x" * 4096) + frame(0x89, b"here"))
    await client.connection.read_until(b"\x8a\x04here")
    await client.connection.send(data)
    await asyncio.wait_for(client.connection.read_until(b"\x03\xf1message too big"), 2)
    await server.is_well()


@pytest.mark.gen_test
async def test_a_bomb(server, connect):
    """A compressed message is not decompressed, because the server does not accept compression."""
    extension = {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}
    client = await connect(**extension)
    assert "sec-websocket-extensions" not in client.head.headers
    pack = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = pack.compress(b"x" * 50_000_000) + pack.flush(zlib.Z_SYNC_FLUSH)
    await client.connection.send(frame(0xC1, bomb[:-4]))
    await asyncio.wait_for(client.connection.read_all(), 2)
    await server.is_well()


@pytest.mark.gen_test
async def test_noise(server, connect):
    """Forty WebSockets that send random bytes do no harm."""
    for _ in range(40):
        client = await connect()
        with contextlib.suppress(ConnectionError):
            await client.connection.send(os.urandom(500))
        client.connection.half_close()
    await soon(lambda: open_sockets(server.port) == 0)
    await server.is_well()


@pytest.mark.gen_test
async def test_frames_with_the_handshake(server):
    """Frames that arrive together with the handshake are read after it."""
    client = CLIENTS["websocket"](server.port, connect=server.raw)
    await client.request()
    await client.connection.send(frame(0x89, b"hello"))
    await client.connection.read_until(b"\x8a\x05hello")
    await server.is_well()

"""Slow clients do not delay other clients, and have a time limit."""

import asyncio

import pytest
from support.wire import open_sockets, read_reply, soon


@pytest.mark.gen_test
async def test_bytes_one_by_one(server):
    """A request may arrive byte by byte, and other clients are served in the meantime."""
    client = await server.connect()
    for byte in b"GET /echo?a=1 HTTP/1.1\r\nHost: x\r\n\r\n":
        await client.send(bytes([byte]))
        await asyncio.sleep(0)
    await server.is_well()
    assert (await read_reply(client)).status == 200


@pytest.mark.gen_test
async def test_heads_that_never_end(server):
    """A hundred unfinished heads delay no other client; an endless head is cut off."""
    for _ in range(100):
        await server.connect(b"GET /echo HTTP/1.1\r\nHost: x\r\nX: ")
    await server.is_well()
    client = await server.connect(b"GET /echo HTTP/1.1\r\n")

    async def go_on():
        while True:
            await client.send(b"X: y\r\n" * 1000)
            await asyncio.sleep(0)

    with pytest.raises(ConnectionError):
        await asyncio.wait_for(go_on(), 2)
    await server.is_well()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GET /echo HTTP/1.1\r\nHost:",
        b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\na",
    ],
    ids=["silent", "head", "body"],
)
@pytest.mark.gen_test
async def test_vanished_in_the_middle(server, data):
    """If a client vanishes in the middle of a request, its socket is closed."""
    clients = [await server.connect(data) for _ in range(6)]
    await soon(lambda: open_sockets(server.port) == 6)
    for number, client in enumerate(clients):
        (client.close, client.reset, client.half_close)[number % 3]()
    await soon(lambda: not open_sockets(server.port))
    await server.is_well()

"""A malformed or incomplete request leaves no reference cycle."""

import asyncio
import gc
import socket
import struct

import pytest

from tatsumaki_py import Application

pytestmark = pytest.mark.both_servers

REQUESTS = {
    "no colon": b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
    "bare LF": b"GET / HTTP/1.1\nHost: x\n\n",
    "two lengths": b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 2,2\r\n\r\n",
    "half a body": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\nabc",
    "half a head": b"GET / HTTP/1.1\r\nHost",
}


@pytest.fixture
def app():
    return Application()


async def request(port, data, reset):
    """Sends `data` and closes the connection before the server can run."""
    sock = socket.create_connection(("127.0.0.1", port))
    sock.sendall(data)
    if reset:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
    await asyncio.sleep(0.03)


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.gen_test
async def test_no_cycle(http_server, http_port, name, reset):
    """No cycle is left, whether the client closes the connection or resets it."""
    await request(http_port, REQUESTS[name], reset)
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            await request(http_port, REQUESTS[name], reset)
        assert gc.collect() == 0
    finally:
        gc.enable()

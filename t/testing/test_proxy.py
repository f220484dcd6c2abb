"""The proxy simulates a failing network before a server that echoes."""

import asyncio
import contextlib
import time

import pytest
from support.wire import open_sockets, soon
from tornado.iostream import StreamClosedError
from tornado.tcpserver import TCPServer

from tatsumaki_py.testing import Connection, Proxy


class Echo(TCPServer):
    """A server that sends back what it receives, and "bye" after its client has sent a FIN."""

    def __init__(self):
        super().__init__()
        self.ended = 0
        self.errors = []

    async def handle_stream(self, stream, address):
        try:
            while data := await stream.read_bytes(1000, partial=True):
                await stream.write(data)
        except StreamClosedError as closed:
            self.ended += 1
            self.errors.append(type(closed.real_error))


@pytest.fixture
def echo(io_loop, _unused_port):
    server = Echo()
    server.add_socket(_unused_port[0])
    yield server
    server.stop()


@pytest.fixture
def connect(echo, http_port, raw):
    """`proxy, client = await connect()` starts a proxy and connects through it."""

    async def connect(**options):
        proxy = await Proxy(http_port, **options).start()
        client = await raw(proxy.port)
        await client.send(b"hello")
        assert await client.read_exactly(5) == b"hello"
        return proxy, client

    return connect


async def ended(client):
    """Whether the connection has ended, with FIN or RST."""
    try:
        return await client.read_all() == b""
    except ConnectionError:
        return True


@pytest.mark.gen_test
async def test_cut(connect, echo):
    """Both sides see the end of the connection."""
    proxy, client = await connect()
    assert proxy.url == f"http://127.0.0.1:{proxy.port}"
    proxy.cut()
    assert await ended(client)
    await soon(lambda: echo.ended == 1)
    await proxy.stop()


class Always:
    """A random generator that always returns the same number."""

    def __init__(self, number):
        self.random = lambda: number


@pytest.mark.gen_test
async def test_fin_and_rst(connect, echo, raw):
    """A cut is a FIN or an RST, as chosen, on both sides; a refusal is an RST."""
    proxy, client = await connect(rng=Always(0.1))
    proxy.cut()
    assert await client.read_all() == b""
    await soon(lambda: echo.errors == [type(None)])
    await proxy.stop()
    proxy, client = await connect(rng=Always(0.9))
    proxy.cut()
    with pytest.raises(ConnectionResetError):
        await client.read_all()
    await soon(lambda: echo.errors == [type(None), ConnectionResetError])
    proxy.down = True
    refused = await raw(proxy.port)
    with pytest.raises(ConnectionResetError):
        await refused.read_all()
    await proxy.stop()


@pytest.mark.gen_test
async def test_stop_ends_a_client_that_does_not_read(connect, http_port):
    """A cut with FIN first sends the rest; `stop` does not wait for it, and leaves no
    socket open.
    """
    proxy = await Proxy(http_port, rng=Always(0.1)).start()
    client = await Connection.connect(proxy.port, receive_buffer=4096)
    for _ in range(20):
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(client.send(b"x" * 100_000), 0.02)
    proxy.cut()
    await asyncio.sleep(0.02)
    assert open_sockets(proxy.port) > 0
    await proxy.stop()
    assert open_sockets(proxy.port) == 0
    client.close()


@pytest.mark.gen_test
async def test_cut_after(connect):
    """The connection is cut after this number of bytes to the client."""
    proxy, client = await connect()
    proxy.cut_after(3)
    await client.send(b"abcdef")
    assert await client.read_exactly(3) == b"abc"
    assert await ended(client)
    await proxy.stop()


@pytest.mark.gen_test
async def test_budget(connect):
    """Each direction of a new connection has its own limit of bytes."""
    proxy, client = await connect(budget=lambda: 8)
    await client.send(b"abcdef")
    with pytest.raises((EOFError, ConnectionError)):
        await client.read_exactly(6)
    await proxy.stop()


@pytest.mark.gen_test
async def test_freeze(connect, echo):
    """After `freeze`, no data passes, and no end either."""
    proxy, client = await connect()
    proxy.freeze()
    await client.send(b"lost")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.read_exactly(1), 0.03)
    client.close()
    await asyncio.sleep(0.02)
    assert echo.ended == 0
    await proxy.stop()


@pytest.mark.gen_test
async def test_half_close(connect, echo):
    """The server sees the end of the client's data, and ends the connection itself."""
    proxy, client = await connect()
    proxy.half_close()
    await soon(lambda: echo.ended == 1)
    assert await ended(client)
    await proxy.stop()


@pytest.mark.gen_test
async def test_a_half_closed_client_sends(connect, raw):
    """Data that is sent after the FIN cannot reach the server, and causes no error."""
    proxy, client = await connect(budget=lambda: 100)
    proxy.half_close()
    proxy.half_close()
    await client.send(b"late")
    client.half_close()
    assert await client.read_all() == b""
    await proxy.stop()


@pytest.mark.gen_test
async def test_a_shorter_delay(connect):
    """Data and a FIN do not overtake data that was sent with a longer delay."""
    proxy, client = await connect()
    proxy.delay = 0.03
    await client.send(b"first")
    await asyncio.sleep(0.01)
    proxy.delay = 0
    await client.send(b", second")
    await asyncio.sleep(0.01)
    client.half_close()
    assert await client.read_all() == b"first, second"
    await proxy.stop()


@pytest.mark.gen_test
async def test_delay(connect):
    """All data is delayed, in both directions and in order."""
    proxy, client = await connect()
    proxy.delay = 0.02
    began = time.monotonic()
    for number in range(50):
        await client.send(b"%03d" % number)
    assert await client.read_exactly(150) == b"".join(b"%03d" % number for number in range(50))
    assert 0.04 <= time.monotonic() - began < 1
    await proxy.stop()


@pytest.mark.gen_test
async def test_down_and_silent(connect, raw):
    """New connections are refused or get no answer; existing ones continue."""
    proxy, client = await connect()
    proxy.down = True
    assert await ended(await raw(proxy.port))
    proxy.down, proxy.silent = False, True
    silent = await raw(proxy.port)
    await silent.send(b"hello")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(silent.read_exactly(1), 0.03)
    await client.send(b"still here")
    assert await client.read_exactly(10) == b"still here"
    assert proxy.accepted == 3
    await proxy.stop()


@pytest.mark.gen_test
async def test_without_a_server():
    """If the server is not running, the connection ends."""
    async with Proxy(1) as proxy:
        client = await Connection.connect(proxy.port)
        assert await ended(client)
        client.close()

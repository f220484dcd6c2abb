"""A `Connection` is a plain socket."""

import asyncio

import pytest
from tornado.tcpserver import TCPServer


class Talker(TCPServer):
    """A server that sends three texts to each client and notes how each connection ended."""

    def __init__(self):
        super().__init__()
        self.ended = asyncio.Queue()

    async def handle_stream(self, stream, address):
        stream.set_close_callback(lambda: self.ended.put_nowait(stream.error))
        stream.read_until_close().add_done_callback(lambda _: None)
        await stream.write(b"one\ntwo\nrest")


@pytest.fixture
def server(io_loop, _unused_port):
    server = Talker()
    server.add_socket(_unused_port[0])
    yield server
    server.stop()


@pytest.mark.gen_test
async def test_reads_up_to_a_mark(server, raw, http_port):
    """Data after the mark stays for the next read; an end before the mark raises an exception."""
    client = await raw(http_port)
    assert await client.read_until(b"\n") == b"one\n"
    assert await client.read_until(b"\n") == b"two\n"
    client.half_close()
    with pytest.raises(EOFError, match="rest"):
        await client.read_until(b"\n")
    assert await client.read_all() == b"rest"


@pytest.mark.gen_test
async def test_ways_to_leave(server, raw, http_port):
    """The server sees no error when a client closes, and ECONNRESET when it resets."""
    client = await raw(http_port)
    await client.read_until(b"rest")
    client.close()
    assert await server.ended.get() is None
    client = await raw(http_port)
    await client.read_until(b"rest")
    client.reset()
    assert isinstance(await server.ended.get(), ConnectionResetError)


@pytest.fixture
def sockets():
    """Collect sockets and check that all of them are closed after the test."""
    sockets = []
    yield sockets
    assert [sock.fileno() for sock in sockets] == [-1, -1]


@pytest.mark.gen_test
async def test_all_are_closed_after_the_test(sockets, server, raw, http_port):
    """A test need not close its connections."""
    sockets += [(await raw(http_port)).sock, (await raw(http_port)).sock]

"""The connection of a waiting client has no write queues, and gets them back when needed."""

import socket

import pytest
from support.answers import until
from support.wire import read_head
from tornado.iostream import IOStream

from tatsumaki_py import Application, Handler, MessageQueue
from tatsumaki_py.iostream import ForgettingStream

pytestmark = pytest.mark.tornado_server

streams = []


class Poll(Handler):
    asynchronous = True

    def get(self):
        self.write("a")
        streams.append(self.request.connection.stream)
        MessageQueue.instance("room").poll_once("me", self.on_new_event)

    def on_new_event(self, event):
        self.finish("b" * event["size"])


@pytest.fixture
def app():
    streams.clear()
    return Application([("/", Poll)])


def queues(stream):
    return [stream._write_buffer, stream._write_futures]


async def waiting(number=1):
    await until(lambda: len(streams) == number and len(MessageQueue.instance("room").clients) == 1)
    assert len(set(map(id, queues(streams[-1])))) == 1
    assert not streams[-1].writing()


@pytest.mark.parametrize("size", [1, 1_000_000])
@pytest.mark.gen_test
async def test_answers(small_buffers, ask, size):
    """A connection can answer two long polls, whether or not the answer fits into the kernel's
    buffers.
    """
    client = await ask("GET /")
    for number in (1, 2):
        await waiting(number)
        MessageQueue.instance("room").publish({"size": size})
        await read_head(client)
        assert await client.read_exactly(size + 1) == b"a" + b"b" * size
        await client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")


@pytest.mark.gen_test
async def test_the_client_leaves(ask):
    """A connection without queues closes normally."""
    client = await ask("GET /")
    await waiting()
    client.close()
    await until(lambda: streams[0].closed())
    assert streams[0].error is None


@pytest.fixture
def pair(io_loop):
    here, there = socket.socketpair()
    stream = ForgettingStream(here)
    yield stream, there
    stream.close()
    there.close()


@pytest.mark.gen_test
async def test_nothing_is_lost(pair):
    """A connection keeps its queues while they contain data."""
    stream, there = pair
    there.setblocking(False)
    written = stream.write(b"x" * 3_000_000)
    before = queues(stream)
    stream.rest()
    assert queues(stream) == before
    got = 0
    other = IOStream(there)
    while got < 3_000_000:
        got += len(await other.read_bytes(65536, partial=True))
    await written
    stream.rest()
    assert queues(stream) != before
    await stream.write(b"end")
    assert await other.read_bytes(3) == b"end"
    other.close()


@pytest.mark.gen_test
async def test_closed(pair):
    """`rest` does not change a closed connection."""
    stream, _ = pair
    stream.close()
    stream.rest()
    assert queues(stream)[0] is None

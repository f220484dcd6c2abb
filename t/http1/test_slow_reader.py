"""A slow client: when its writes complete, and when the code that awaits them continues."""

import asyncio

import pytest
from support.wire import raw_small, small_buffers, soon  # noqa: F401
from tornado.iostream import StreamClosedError
from tornado.web import Application, RequestHandler

from tatsumaki_py import Handler

SIZE = 200_000


class Parts(RequestHandler):
    """Flushes each part before the previous one has been sent."""

    async def get(self):
        writes = []
        for letter in "abc":
            self.write(letter * SIZE)
            writes.append(self.flush())
        self.settings["writes"] = writes
        await asyncio.wait(writes)
        self.finish("end")


class Asking(RequestHandler):
    """Waits for the end of a write after it has cancelled the future."""

    def get(self):
        self.set_header("Content-Length", SIZE)
        self.write("a" * SIZE)
        self.flush().cancel()
        connection = self.request.connection
        assert connection.when_sent(self.settings["sent"].append)
        self.finish()


class Streaming(Handler):
    """Becomes a stream while bytes wait and a task awaits them."""

    async def get(self):
        self.settings["write"] = asyncio.ensure_future(self.one())
        await asyncio.sleep(0)
        await self.stream_write("b")

    async def one(self):
        self.write("a" * SIZE)
        await self.flush()


@pytest.fixture
def app():
    rules = [("/parts", Parts), ("/asking", Asking), ("/streaming", Streaming)]
    return Application(rules, sent=[])


@pytest.fixture
def ask(http_server, http_port, small_buffers, raw_small):  # noqa: F811
    """`client = await ask(path)` sends a request from a client with small buffers."""

    async def ask(path):
        client = await raw_small(http_port)
        await client.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        return client

    return ask


@pytest.mark.gen_test
async def test_several_writes(ask, app):
    """The futures of several writes complete in order."""
    client = await ask("/parts")
    await soon(lambda: "writes" in app.settings)
    await client.read_until(b"b")
    writes = app.settings["writes"]
    await soon(writes[0].done)
    assert not writes[2].done()
    body = await client.read_until(b"\r\n0\r\n\r\n")
    assert body.endswith(b"\r\n3\r\nend\r\n0\r\n\r\n")
    assert [one.result() for one in writes] == [None] * 3


@pytest.mark.parametrize("way", ["close", "reset"])
@pytest.mark.gen_test
async def test_that_leaves(ask, app, way):
    client = await ask("/parts")
    await soon(lambda: "writes" in app.settings)
    getattr(client, way)()
    writes = app.settings["writes"]
    await soon(writes[2].done)
    assert [type(one.exception()) for one in writes] == [StreamClosedError] * 3


@pytest.mark.parametrize("leaves", [False, True])
@pytest.mark.gen_test
async def test_the_end_of_a_write(ask, app, leaves):
    """`when_sent` works even if the program has cancelled the future of the write."""
    client = await ask("/asking")
    await client.read_until(b"\r\n\r\n")
    assert app.settings["sent"] == []
    if leaves:
        client.reset()
    else:
        assert await client.read_exactly(SIZE) == b"a" * SIZE
    await soon(lambda: app.settings["sent"])
    assert app.settings["sent"] == [leaves]


@pytest.mark.gen_test
async def test_that_leaves_a_stream(ask, app):
    """The task that awaits a write ends when the client leaves."""
    client = await ask("/streaming")
    await soon(lambda: "write" in app.settings)
    client.close()
    await asyncio.wait_for(app.settings["write"], 5)

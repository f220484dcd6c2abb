"""When the server stops, a request that is on its way on an idle connection is answered."""

import asyncio
import time

import pytest
from support.wire import read_reply, soon

from tatsumaki_py import Application, Handler
from tatsumaki_py.life import Life
from tatsumaki_py.server import drain
from tatsumaki_py.server.drain import Drain, Limits

pytestmark = pytest.mark.both_servers

POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"


class Echo(Handler):
    def post(self):
        self.write(self.request.body)


@pytest.fixture
def app():
    return Application([("/", Echo)])


@pytest.fixture
def stop(http_server):
    """`await stop()` stops the server."""

    def run(grace=1.0):
        return Drain(http_server, Life(), Limits(grace, 0, 30)).run()

    return run


async def connect(http_server, http_port, raw):
    """Connects two clients: one has sent nothing, the other has had an answer."""
    new, kept = await raw(http_port), await raw(http_port)
    await kept.send(POST)
    assert "connection" not in (await read_reply(kept)).headers
    await soon(lambda: [one.idle for one in http_server.connections()] == [True, True])
    return new, kept


@pytest.mark.gen_test
async def test_a_request_on_its_way(http_server, http_port, raw, stop):
    """A request that arrives just after the stop is answered, with `Connection: close`."""
    clients = await connect(http_server, http_port, raw)
    stopping = asyncio.ensure_future(stop())
    await asyncio.sleep(0.05)
    for client in clients:
        await client.send(POST)
        reply = await read_reply(client)
        assert (reply.status, reply.body) == (200, b"hello")
        assert reply.headers["connection"] == "close"
        assert await client.read_all() == b""
    await stopping


@pytest.mark.gen_test
async def test_no_request(http_server, http_port, raw, stop):
    """Connections that stay idle are closed after a short wait."""
    began = time.monotonic()
    new, kept = await connect(http_server, http_port, raw)
    await stop()
    assert await new.read_all() == await kept.read_all() == b""
    assert 0.2 <= time.monotonic() - began < 0.9


@pytest.mark.parametrize("grace", [0, 0.05])
@pytest.mark.gen_test
async def test_a_short_grace(http_server, http_port, raw, stop, grace, monkeypatch):
    """A short `grace` also limits the wait for idle connections. The log does not count an idle
    connection as a request that was cut off.
    """
    monkeypatch.setattr(drain, "ON_ITS_WAY", 5.0)
    began = time.monotonic()
    new, kept = await connect(http_server, http_port, raw)
    await stop(grace)
    assert await new.read_all() == await kept.read_all() == b""
    assert time.monotonic() - began < 3

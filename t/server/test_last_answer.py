"""The last answer on a connection has `Connection: close`, and a request that was pipelined behind
it is not executed.
"""

import asyncio

import pytest
from support.wire import iterations, read_reply, soon

from tatsumaki_py import Application, Handler
from tatsumaki_py.life import Life
from tatsumaki_py.server.drain import Drain, Limits

pytestmark = pytest.mark.both_servers

POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
done = []


class Slow(Handler):
    async def get(self):
        done.append("get")
        await asyncio.sleep(0.05)
        self.write("slow")

    def post(self):
        done.append("post")


@pytest.fixture
def app():
    done.clear()
    return Application([("/", Slow)])


@pytest.mark.gen_test
async def test_pipelined(http_server, http_port, raw):
    """Requests behind one with `Connection: close` are not executed."""
    client = await raw(http_port)
    await client.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" + POST + POST)
    reply = await read_reply(client)
    assert (reply.body, reply.headers["connection"]) == (b"slow", "close")
    assert await client.read_all() == b""
    await soon(lambda: not http_server.connections())
    await iterations()
    assert done == ["get"]


@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.gen_test
async def test_a_server_that_stops(http_server, http_port, raw, version):
    """A stopping server answers the request in flight with `Connection: close`, and does not
    execute the requests behind it.
    """
    client = await raw(http_port)
    head = f"GET / HTTP/{version}\r\nHost: x\r\nConnection: keep-alive\r\n\r\n"
    await client.send(head.encode() + POST)
    await soon(lambda: done)
    stopping = asyncio.ensure_future(Drain(http_server, Life(), Limits(1, 0, 0)).run())
    reply = await read_reply(client)
    assert reply.body == b"slow"
    assert reply.headers.get("connection") == {"1.1": "close", "1.0": None}[version]
    assert await client.read_all() == b""
    await stopping
    assert done == ["get"]


@pytest.mark.gen_test
async def test_a_client_that_leaves(http_server, http_port, raw):
    """Requests that a client sent before it closed its connection are executed."""
    client = await raw(http_port)
    client.sock.send(POST + POST)
    client.close()
    await soon(lambda: done == ["post", "post"])

"""Requests that a client sends before it has the answer to the previous one."""

import asyncio

import pytest
from support.wire import read_reply, soon
from tornado.web import Application, RequestHandler

from tatsumaki_py.http1.requests import AHEAD

ASK = b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n"


class Number(RequestHandler):
    """Waits for the gate, and answers."""

    asked = 0

    async def get(self, number):
        Number.asked += 1
        await self.application.settings["gate"].wait()
        self.write(number)


@pytest.fixture
def gate():
    Number.asked = 0
    return asyncio.Event()


@pytest.fixture
def app(gate):
    return Application([(r"/(\d+)", Number)], gate=gate)


@pytest.mark.gen_test
async def test_in_order(connect, gate):
    """Requests are answered one at a time, in order."""
    client = await connect(b"".join(ASK % number for number in range(200)))
    await soon(lambda: Number.asked)
    await asyncio.sleep(0.01)
    assert Number.asked == 1
    gate.set()
    assert [(await read_reply(client)).body for _ in range(200)] == [b"%d" % n for n in range(200)]


@pytest.mark.gen_test
async def test_too_many(connect, gate, http_server):
    """The server stops reading when too many requests wait, before and after the first answer."""
    count = 200_000
    client = await connect()
    sending = asyncio.ensure_future(client.send(b"".join(ASK % n for n in range(count))))
    await soon(lambda: Number.asked)
    await asyncio.sleep(0.02)
    (connection,) = http_server.connections()
    waiting = [len(connection._requests.ahead)]
    gate.set()
    for number in range(count // 50):
        assert (await read_reply(client)).body == b"%d" % number
        waiting.append(len(connection._requests.ahead))
    assert max(waiting) <= AHEAD * 2
    assert not sending.done()
    sending.cancel()


@pytest.mark.gen_test
async def test_the_client_leaves(connect, gate, http_server):
    """The server notices that a client leaves, however many requests wait."""
    client = await connect(b"".join(ASK % number for number in range(5000)))
    await soon(lambda: Number.asked)
    client.close()
    await soon(lambda: not http_server.connections())
    assert Number.asked == 1
    gate.set()


@pytest.mark.parametrize("server_options", [{"max_header_size": AHEAD * 4}])
@pytest.mark.gen_test
async def test_a_long_head(connect, gate):
    """A long head is not counted as waiting requests."""
    gate.set()
    field = b"X: " + b"a" * 1000 + b"\r\n"
    client = await connect(ASK[:-2] % 1 + field * 200 + b"\r\n" + ASK % 2)
    assert [(await read_reply(client)).body for _ in range(2)] == [b"1", b"2"]

"""`Expect: 100-continue`: the client waits for a 100 before it sends the body."""

import asyncio

import pytest
from support.wire import read_reply
from tornado.web import Application, HTTPError, RequestHandler, stream_request_body

HEAD = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: %s\r\n\r\n"


class Echo(RequestHandler):
    def post(self):
        self.write(self.request.body)


@stream_request_body
class Refusing(RequestHandler):
    def prepare(self):
        raise HTTPError(401)

    def data_received(self, chunk):
        raise AssertionError


@pytest.fixture
def app():
    return Application([("/", Echo), ("/refusing", Refusing)])


@pytest.mark.parametrize("expect", [b"100-continue", b"100-Continue", b"100-CONTINUE"])
@pytest.mark.gen_test
async def test_said(connect, expect):
    """The server sends one 100 before the answer, whatever the letter case."""
    client = await connect()
    for _ in range(2):
        await client.send(HEAD % (b"/", expect))
        assert (await client.read_until(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        await client.send(b"abc")
        reply = await read_reply(client)
        assert (reply.status, reply.body) == (200, b"abc")


@pytest.mark.gen_test
async def test_refused(connect):
    """If the handler refuses the request, no 100 is sent and the connection is closed."""
    client = await connect(HEAD % (b"/refusing", b"100-continue"))
    assert (await client.read_all()).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("server_options", [{"max_body_size": 2}])
@pytest.mark.gen_test
async def test_too_large(connect, server_options):
    client = await connect(HEAD % (b"/", b"100-continue"))
    assert await client.read_all() == b"HTTP/1.1 400 Bad Request\r\n\r\n"


@pytest.mark.parametrize("expect", [b"something", b"100"])
@pytest.mark.gen_test
async def test_another(connect, expect):
    """An unknown expectation is ignored."""
    client = await connect(HEAD % (b"/", expect) + b"abc")
    assert (await read_reply(client)).body == b"abc"


@pytest.mark.parametrize("server_options", [{"body_timeout": 0.02}])
@pytest.mark.gen_test
async def test_a_client_that_has_left(connect, server_options, caplog):
    """If the client has left, nothing is logged and the connection is closed."""
    caplog.set_level("INFO")
    client = await connect(HEAD % (b"/", b"100-continue"))
    client.reset()
    await asyncio.sleep(0.06)
    assert caplog.messages == []


@pytest.mark.gen_test
async def test_old_clients(connect):
    """An HTTP/1.0 client gets no 100 (RFC 9110 section 10.1.1)."""
    head = HEAD.replace(b"HTTP/1.1", b"HTTP/1.0") % (b"/", b"100-continue")
    client = await connect(head + b"abc")
    assert (await client.read_all()).startswith(b"HTTP/1.1 200 ")

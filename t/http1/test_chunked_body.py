"""Chunked bodies: extensions and trailers are allowed, and are not part of the body."""

import pytest
from support.wire import read_reply
from tornado.web import Application, RequestHandler

HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"


class Echo(RequestHandler):
    def post(self):
        self.set_header("Names", ",".join(self.request.headers))
        self.write(self.request.body)


@pytest.fixture
def app():
    return Application([("/", Echo)])


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n", b"abcde"),
        (b'2;a\r\nab\r\n1;a=b;c="d;\te"\r\nc\r\n0;last\r\n\r\n', b"abc"),
        (b"2\r\nab\r\n0\r\nDigest: x\r\nHost: y\r\n\r\n", b"ab"),
        (b"002\r\n\r\n\r\nA\r\n0123456789\r\n00\r\n\r\n", b"\r\n0123456789"),
        (b"0\r\n\r\n", b""),
    ],
)
@pytest.mark.parametrize("by_byte", [False, True])
@pytest.mark.gen_test
async def test_accepted(connect, body, expected, by_byte):
    """A chunked body is accepted, in whatever pieces it arrives. The connection can be used again,
    and no trailer becomes a header.
    """
    client = await connect()
    for _ in range(2):
        for part in map(bytes, zip(HEAD + b"\r\n" + body)) if by_byte else [HEAD + b"\r\n" + body]:
            await client.send(part)
        reply = await read_reply(client)
        assert (reply.status, reply.body) == (200, expected)
        assert reply.headers["names"] == "Host,Transfer-Encoding"


@pytest.mark.gen_test
async def test_pipelined(connect):
    """The next request begins right after the last trailer."""
    body = b"1;x\r\na\r\n0\r\nT: 1\r\n\r\n"
    client = await connect((HEAD + b"\r\n" + body) * 3)
    assert [(await read_reply(client)).body for _ in range(3)] == [b"a", b"a", b"a"]


@pytest.mark.parametrize(
    "body",
    [
        b"1_0\r\n",
        b"+1\r\na\r\n",
        b"0x1\r\na\r\n",
        b"-1\r\n",
        b"\r\n",
        b"1\na\r\n0\r\n\r\n",
        b"1\r\nab\r\n0\r\n\r\n",
        b"1\r\na\n0\r\n\r\n",
        b"1;\0\r\na\r\n0\r\n\r\n",
        b"1;a\nb\r\na\r\n0\r\n\r\n",
        b"0\r\nA: b\nC: d\r\n\r\n",
        b"0\r\nno colon\r\n\r\n",
        b"FFFFFFFFFFFFFFFFF\r\n",
        b"1;" + b"x" * 5000,
        b"0\r\n" + b"A: b\r\n" * 5000,
        b"1;x=yz\r\na\r\n" * 10_000,
    ],
)
@pytest.mark.gen_test
async def test_refused(connect, body):
    """A malformed chunked body gets a 400, and the connection is closed, so the bytes behind it are
    not taken for a request.
    """
    client = await connect(HEAD + b"\r\n")
    await client.send(body + b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = await client.read_all()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("server_options", [{"max_body_size": 10}])
@pytest.mark.gen_test
async def test_too_large(connect, server_options):
    """The limit of a body does not count extensions, which have a separate limit."""
    extended = b"5;a=bcdefghijklmno\r\n01234\r\n" * 2
    client = await connect(HEAD + b"\r\n" + extended + b"0\r\n\r\n")
    assert (await read_reply(client)).body == b"0123401234"
    client = await connect(HEAD + b"\r\n" + extended + b"1\r\na\r\n0\r\n\r\n")
    assert (await client.read_all()).startswith(b"HTTP/1.1 400 ")

"""Lengths, chunks, methods, versions: requests with ambiguous ends are refused."""

import asyncio

import pytest
from support.wire import read_head, read_reply

HEAD = (
    b"POST /chat/room/post HTTP/1.1\r\nHost: x\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\n"
)


def refused(reply):
    """Whether the request got a 4xx, or the connection was closed."""
    return reply is None or 400 <= reply.status < 500


@pytest.mark.parametrize(
    "length",
    [
        "abc",
        "0x6",
        "1e3",
        "-5",
        "+6",
        "6.0",
        "6, 10",
        "6;6",
        "",
        " ",
        "\u0666",
        "6_0",
        "99999999999999999999",
        "6\r\nContent-Length: 10",
        "6\r\nContent-Length: x",
    ],
)
@pytest.mark.gen_test
async def test_lengths_that_are_none(server, length, queue):
    """A request with an invalid length is refused, and nothing is published."""
    reply = await server(HEAD + f"Content-Length: {length}\r\n\r\ntext=abcdef".encode())
    assert refused(reply)
    assert queue.backlog_events == []
    await server.is_well()


@pytest.mark.parametrize("length", ["6\r\nContent-Length: 6", "6, 6", "06"])
@pytest.mark.gen_test
async def test_lengths_that_agree(server, length):
    """Two equal lengths count as one, or the request is refused."""
    reply = await server(HEAD + f"Content-Length: {length}\r\n\r\ntext=a".encode())
    assert reply.status in (200, 400)
    await server.is_well()


@pytest.mark.gen_test
async def test_a_length_beyond_the_limit(server):
    """A body beyond the limit is refused before the client sends it."""
    reply = await server(HEAD + b"Content-Length: 104857601\r\n\r\ntext=a")
    assert refused(reply)
    await server.is_well()


@pytest.mark.parametrize("way", ["close", "reset", "half_close"])
@pytest.mark.gen_test
async def test_a_body_that_breaks_off(server, way, queue):
    """An incomplete request publishes nothing."""
    client = await server.connect(HEAD + b"Content-Length: 50\r\n\r\ntext=a")
    await asyncio.sleep(0.005)
    getattr(client, way)()
    await server.is_well()
    assert queue.backlog_events == []


@pytest.mark.gen_test
async def test_more_than_the_length(server, queue):
    """The bytes behind a body are the next request, and are refused if they are malformed."""
    client = await server.connect(HEAD + b"Content-Length: 6\r\n\r\ntext=aTRASH\r\n\r\n")
    assert (await read_reply(client)).status == 200
    assert (await read_head(client)).status == 400
    assert [event["html"] for event in queue.backlog_events] == ["a"]


@pytest.mark.parametrize(
    ("coding", "body", "ok"),
    [
        ("chunked", "6\r\ntext=a\r\n0\r\n\r\n", True),
        ("Chunked", "1\r\nt\r\n5\r\next=a\r\n0\r\n\r\n", True),
        ("chunked", "6;x=y\r\ntext=a\r\n0\r\n\r\n", None),
        ("chunked", "6\r\ntext=aXX0\r\n\r\n", False),
        ("chunked", "-6\r\ntext=a\r\n0\r\n\r\n", False),
        ("chunked", "0x6\r\ntext=a\r\n0\r\n\r\n", False),
        ("chunked", "+6\r\ntext=a\r\n0\r\n\r\n", False),
        ("chunked", "6_0\r\ntext=a\r\n0\r\n\r\n", False),
        ("chunked", "zz\r\ntext=a\r\n0\r\n\r\n", False),
        ("chunked", "\r\n\r\n", False),
        ("chunked", "ffffffffffffffff\r\nx", False),
        ("chunked", "6" * 100 + "\r\n", False),
        ("chunked", "6\r\ntext=a\r\n0\r\nX: y\r\n\r\n", None),
        ("chunked, chunked", "6\r\ntext=a\r\n0\r\n\r\n", False),
        ("gzip, chunked", "6\r\ntext=a\r\n0\r\n\r\n", False),
        ("gzip", "x", False),
        ("identity", "x", False),
        ("xchunked", "6\r\ntext=a\r\n0\r\n\r\n", False),
        ("chunked\r\nTransfer-Encoding: identity", "6\r\ntext=a\r\n0\r\n\r\n", False),
        ("chunked\r\nContent-Length: 6", "6\r\ntext=a\r\n0\r\n\r\n", False),
        ("chunked\r\nContent-Length: 0", "6\r\ntext=a\r\n0\r\n\r\n", False),
    ],
)
@pytest.mark.gen_test
async def test_chunked_bodies(server, coding, body, ok, queue):
    """Valid chunked bodies are accepted; malformed ones, and those with a length, are refused."""
    reply = await server(HEAD + f"Transfer-Encoding: {coding}\r\n\r\n{body}".encode())
    if ok is not None:
        assert refused(reply) is not ok
        assert len(queue.backlog_events) == ok
    await server.is_well()


@pytest.mark.gen_test
async def test_a_request_behind_a_length_and_chunks(server, queue):
    """A request that is smuggled behind one with two lengths is not answered."""
    client = await server.connect(
        HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        b"GET /echo?smuggled=1 HTTP/1.1\r\nHost: x\r\n\r\n"
    )
    assert b"smuggled" not in await client.read_all()


@pytest.mark.parametrize(("expect", "interim"), [("100-continue", True), ("x", False), ("", False)])
@pytest.mark.gen_test
async def test_expect(server, expect, interim):
    """`100-continue` is answered immediately; other expectations are ignored or refused."""
    client = await server.connect(HEAD + f"Expect: {expect}\r\nContent-Length: 6\r\n\r\n".encode())
    if interim:
        assert (await read_head(client)).status == 100
    await client.send(b"text=a")
    assert (await read_reply(client)).status in ({200} if interim else {200, 400, 417})


@pytest.mark.parametrize(
    "method",
    ["OPTIONS", "PATCH", "TRACE", "CONNECT", "FOO", "get", "PROPFIND", "A" * 5000, "M-SEARCH"],
)
@pytest.mark.parametrize("target", ["/chat/room/poll?client_id=a", "/chat/room", "/echo"])
@pytest.mark.gen_test
async def test_methods_that_nobody_has(server, method, target):
    """An unknown method gets a 405 with `Allow`."""
    reply = await server(f"{method} {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert reply.status == 405
    allowed = {"HEAD", "GET", "POST"} if target == "/echo" else {"HEAD", "GET"}
    assert set(reply.headers["allow"].split(", ")) == allowed
    await server.is_well()


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n\r\n",
        b"\x00" * 100 + b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)) * 2 + b"\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /echo\r\n\r\n",
        b"GET /echo HTTP/0.9\r\n\r\n",
        b"GET /echo HTTP/2.0\r\n\r\n",
        b"GET /echo HTTP/1.1.1\r\n\r\n",
        b"GET /echo HTTP/1.\r\n\r\n",
        b"GET /echo http/1.1\r\nHost: x\r\n\r\n",
        b"GET  /echo HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /echo HTTP/1.1 x\r\nHost: x\r\n\r\n",
        b"GET /e cho HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET\t/echo\tHTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x1b[31mGET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"G\x9bT / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX : y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n",
        b"GET / HTTP/1.1\r\n Host: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX\x1b[31m: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: a\x1b[31m\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: a\r\rb\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
@pytest.mark.gen_test
async def test_what_is_no_http(server, data):
    """Bytes that are not HTTP get a 400, or the connection is closed."""
    client = await server.connect(data)
    client.half_close()
    answer = await client.read_all()
    assert answer == b"" or answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 302 "))
    await server.is_well()


@pytest.mark.parametrize(
    "target",
    [
        "*",
        "http://h/echo",
        "http://",
        "//echo",
        "/echo#x",
        "?",
        "\\echo",
        "javascript:1",
        "http://[::1",
        "http://x:y/echo",
    ],
)
@pytest.mark.gen_test
async def test_other_targets(server, target):
    """A target that is not a path is answered, or gets a 4xx."""
    reply = await server.get(target)
    assert reply.status in (200, 301, 302, 400, 404)
    await server.is_well()


@pytest.mark.gen_test
async def test_pipelined_requests(server):
    """Pipelined requests are answered in order, and the last answer closes the connection."""
    requests = b"".join(b"GET /echo?n=%d HTTP/1.1\r\nHost: x\r\n\r\n" % n for n in range(50))
    client = await server.connect(requests)
    for number in range(50):
        assert b'"%d"' % number in (await read_reply(client)).body


@pytest.mark.gen_test
async def test_a_pipelined_poll(server, queue):
    """A request behind a long poll waits for its turn."""
    client = await server.connect(
        b"GET /chat/room/poll?client_id=a HTTP/1.1\r\nHost: x\r\n\r\n"
        b"GET /echo?n=1 HTTP/1.1\r\nHost: x\r\n\r\n"
    )
    await asyncio.sleep(0.01)
    queue.publish({"n": 1})
    assert (await read_reply(client)).body == b'[{"n":1}]'
    assert b'"n":"1"' in (await read_reply(client)).body

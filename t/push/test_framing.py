"""The bytes of a stream: chunked, until close, over TLS."""

import pytest
from support.wire import read_chunk, read_head, read_reply

from tatsumaki_py.message_queue import Event
from tatsumaki_py.push.framing import MULTIPART, RAW, Multipart

TEXT = "h\u00e9llo"


@pytest.mark.gen_test
async def test_chunked(get):
    """HTTP/1.1: what is written is a chunk, the end is the last chunk, then the connection ends."""
    client, handler = await get()
    handler.stream_write(TEXT)
    head = await read_head(client)
    assert head.line == "HTTP/1.1 200 OK"
    assert head.headers["transfer-encoding"] == "chunked"
    assert head.headers["connection"] == "close"
    assert await client.read_until(b"\r\n") == b"6\r\n"
    assert await client.read_until(b"\r\n") == TEXT.encode() + b"\r\n"
    handler.stream_write("x" * 255)
    assert await client.read_until(b"\r\n") == b"ff\r\n"
    assert await client.read_until(b"\r\n") == b"x" * 255 + b"\r\n"
    handler.finish("end")
    assert await client.read_all() == b"3\r\nend\r\n0\r\n\r\n"


@pytest.mark.parametrize("keep_alive", ["", "\r\nConnection: keep-alive"])
@pytest.mark.gen_test
async def test_until_close(get, keep_alive):
    """HTTP/1.0: the bytes as they are, whatever the client says of keep-alive."""
    client, handler = await get(version=f"HTTP/1.0{keep_alive}")
    handler.stream_write(TEXT)
    head = await read_head(client)
    assert "transfer-encoding" not in head.headers
    assert head.headers.get("connection", "close").lower() == "close"
    handler.stream_write("x")
    handler.finish("end")
    assert await client.read_all() == TEXT.encode() + b"xend"


@pytest.mark.gen_test
async def test_tls(get_tls):
    """The same bytes, encrypted."""
    reader, _, handler = await get_tls()
    handler.stream_write(TEXT)
    await reader.readuntil(b"\r\n\r\n")
    assert await reader.readuntil(b"o\r\n") == b"6\r\n" + TEXT.encode() + b"\r\n"
    handler.stream_write("x" * 60_000)
    handler.finish("end")
    body = b"%x\r\n%b\r\n3\r\nend\r\n0\r\n\r\n" % (60_000, b"x" * 60_000)
    assert await reader.read() == body


@pytest.mark.gen_test
async def test_tls_http_1_0(get_tls):
    """Encrypted, without chunks."""
    reader, _, handler = await get_tls(version="HTTP/1.0")
    handler.stream_write(TEXT)
    handler.finish()
    assert (await reader.read()).split(b"\r\n\r\n")[1] == TEXT.encode()


@pytest.mark.gen_test
async def test_writes_of_all_kinds(get):
    """Text, bytes, numbers, JSON: each a chunk of its own, in order; nothing is nothing."""
    client, handler = await get()
    for chunk in ("a", b"b", 1, 2.5, {"c": None}, [1, "\u2603"], "", b""):
        handler.stream_write(chunk)
    handler.write("w", {"x": 1})
    handler.flush()
    handler.finish({"end": True})
    await read_head(client)
    chunks = []
    while chunk := await read_chunk(client):
        chunks.append(chunk)
    assert chunks == [
        b"a",
        b"b",
        b"1",
        b"2.5",
        b'{"c":null}',
        b'[1,"\xe2\x98\x83"]',
        b"w",
        b'{"x":1}',
        b'{"end":true}',
    ]


@pytest.mark.gen_test
async def test_what_was_written_before_comes_first(get):
    """write() and flush() of before the stream keep their place."""
    client, handler = await get()
    handler.write("one")
    handler.flush()
    handler.write("two")
    handler.stream_write("three")
    handler.finish()
    assert (await read_reply(client)).body == b"onetwothree"


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("ids", [True, False])
def test_an_event_is_framed_once(chunked, ids):
    """All subscribers of one kind share the bytes."""
    event = Event(b'{"n":1}', "5-0")
    for framings in (RAW, MULTIPART):
        framing = framings[chunked, ids]
        assert framing.frame(event) is framing.frame(event)
    body = b'Content-Type: application/json\n%b\n{"n":1}\n--%b\n' % (
        b"Last-Event-ID: 5-0\n" if ids else b"",
        Multipart.boundary.encode(),
    )
    frame = b"%x\r\n%b\r\n" % (len(body), body) if chunked else body
    assert MULTIPART[chunked, ids].frame(event) == frame


def test_a_part_holds_no_boundary():
    """Text that would end its part is refused."""
    with pytest.raises(ValueError, match="boundary"):
        MULTIPART[True, False].part(f"a\n--{Multipart.boundary}\nb".encode(), "text/plain")

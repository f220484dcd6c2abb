"""The bytes of a stream in chunks, until close, and over TLS."""

import json

import pytest
from support.wire import read_chunk, read_head, read_reply

from tatsumaki_py.message_queue.event import Entry, encode
from tatsumaki_py.push.framing import JSON, Framing, Option
from tatsumaki_py.push.framing.json_lines import JSONLines
from tatsumaki_py.push.framing.multipart import Multipart
from tatsumaki_py.push.framing.server_sent_events import ServerSentEvents
from tatsumaki_py.push.framing.websocket import BINARY, WebSocket, websocket_frame

TEXT = "h\u00e9llo"


@pytest.mark.gen_test
async def test_chunked(get):
    """With HTTP/1.1, each write is a chunk, and the last chunk ends the stream and its
    connection.
    """
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
    """With HTTP/1.0, bytes are sent without chunks, and keep-alive is ignored."""
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
    """Over TLS, the bytes are the same."""
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
    """Over TLS with HTTP/1.0, bytes are sent without chunks."""
    reader, _, handler = await get_tls(version="HTTP/1.0")
    handler.stream_write(TEXT)
    handler.finish()
    assert (await reader.read()).split(b"\r\n\r\n")[1] == TEXT.encode()


@pytest.mark.gen_test
async def test_writes_of_all_kinds(get):
    """Each write of text, bytes, numbers or JSON is a chunk; an empty write sends nothing."""
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
        b'w{"x":1}',
        b'{"end":true}',
    ]


@pytest.mark.gen_test
async def test_what_was_written_before_comes_first(get):
    """Writes and flushes from before the stream keep their place."""
    client, handler = await get()
    handler.write("one")
    handler.flush()
    handler.write("two")
    handler.stream_write("three")
    handler.finish()
    assert (await read_reply(client)).body == b"onetwothree"


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("option", [*Option, Option.NONE])
@pytest.mark.parametrize("kind", [Framing, Multipart, ServerSentEvents, JSONLines])
def test_an_event_is_framed_once(kind, chunked, option):
    """All subscribers with the same framing share the bytes of an event."""
    event = Entry(b'{"n":1}', "5-0")
    chunked = chunked or option is Option.CHUNKED
    frames = kind.of(option | Option.CHUNKED if chunked else option)
    assert kind.of(option | Option.CHUNKED if chunked else option) is frames
    assert frames.frame(event) is frames.frame(event)
    body = frames.event(event)
    assert frames.frame(event) == (b"%x\r\n%b\r\n" % (len(body), body) if chunked else body)


@pytest.mark.parametrize("ids", [True, False])
def test_multipart(ids):
    """The next boundary follows a part immediately; a part has an id only with `Option.IDS`."""
    frames = Multipart.of(Option.IDS if ids else Option.NONE)
    boundary = Multipart.boundary.encode()
    assert frames.begin("4-0") == b"--%b\n" % boundary
    assert frames.frame(Entry(b'{"n":1}', "5-0")) == (
        b'Content-Type: application/json\n%b\n{"n":1}\n--%b\n'
        % (b"Last-Event-ID: 5-0\n" if ids else b"", boundary)
    )
    beat = b"Content-Type: application/x-heartbeat\n%b\n\n--%b\n"
    assert frames.heartbeat("5-0") == beat % (b"Last-Event-ID: 5-0\n" if ids else b"", boundary)
    assert frames.heartbeat("") == beat % (b"", boundary)
    assert frames.at("5-0") == (frames.heartbeat("5-0") if ids else b"")


@pytest.mark.parametrize("after", ["\nb", "\n", ""])
def test_a_part_holds_no_boundary(after):
    """Text that contains the boundary is refused, even if only the end of the part completes it."""
    body = f"a\n--{Multipart.boundary}{after}".encode()
    with pytest.raises(ValueError, match="boundary"):
        Multipart.of(Option.CHUNKED).part(body, "text/plain")


def test_server_sent_events():
    """An event has an id and data; a cursor is a separate event; a blank line ends each event."""
    frames = ServerSentEvents.of()
    retry, place = frames.begin("4-0").split(b"\n", 1)
    assert 2000 <= int(retry.removeprefix(b"retry: ")) <= 4000
    assert place == frames.at("4-0") == b'id: 4-0\nevent: cursor\ndata: {"id":"4-0"}\n\n'
    assert frames.begin(None).startswith(b"retry: ")
    assert frames.begin(None).index(b"\n") == len(frames.begin(None)) - 1
    assert frames.frame(Entry(b'{"n":1}', "5-0")) == b'id: 5-0\ndata: {"n":1}\n\n'
    assert frames.heartbeat("5-0") == b":\n"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (b"", b"data: \n"),
        (b"a\nb", b"data: a\ndata: b\n"),
        (b"a\rb\r\nc\n\rd\n", b"data: a\ndata: b\ndata: c\ndata: \ndata: d\ndata: \n"),
        # str.splitlines() would split at these characters.
        ("\x85\u2028\x0b\x1e".encode(), b"data: " + "\x85\u2028\x0b\x1e".encode() + b"\n"),
    ],
)
def test_every_newline_is_a_line(text, lines):
    """Data is split only where an EventSource ends a line."""
    assert ServerSentEvents.of().part(text, "text/plain") == lines + b"\n"


@pytest.mark.parametrize("kind", [ServerSentEvents, JSONLines])
def test_separators_in_json(kind):
    """No character in JSON looks like the end of a line to any client."""
    data = {"text": "\u2028\u2029\x85 \u2019 \\\u2028", "key\u2028": 1}
    frames = kind.of()
    for body in (frames.event(Entry(encode(data), "5-0")), frames.part(encode(data), JSON)):
        text = body.decode().rstrip("\n")
        assert text.splitlines() == text.split("\n")
        line = json.loads(text.split("\n")[-1].removeprefix("data: "))
        assert line.get("data", line) == data
    text = "\u2028\u2029\x85".encode()
    part = frames.part(text, "text/plain")
    assert (text in part) == (kind is ServerSentEvents)


def test_lines_in_json():
    """JSON that another program wrote may contain line breaks."""
    event = Entry(b'{\r\n "n":\n1}', "5-0")
    assert JSONLines.of().event(event).count(b"\n") == 1
    assert ServerSentEvents.of().event(event) == (b'id: 5-0\ndata: {\ndata:  "n":\ndata: 1}\n\n')


@pytest.mark.parametrize(
    ("type_", "field"),
    [
        ("join", b"event: join\n"),
        ("caf\u00e9", "event: caf\u00e9\n".encode()),
        # These types have a meaning for an EventSource or for this package.
        *((name, b"") for name in ("message", "error", "open", "gap", "cursor", "")),
        ("a\nid: 9", b""),
        ("a\rb", b""),
        ("\0", b""),
        (7, b""),
        (None, b""),
    ],
)
def test_event_type(type_, field):
    """With `Option.TYPES`, a valid type of an event is the type of the Server-Sent Event."""
    event = Entry(encode({"type": type_}), "5-0")
    assert ServerSentEvents.of(Option.TYPES).frame(event).startswith(field + b"id: 5-0\n")
    assert ServerSentEvents.of().frame(event).startswith(b"id: 5-0\n")


@pytest.mark.parametrize("name", [b"type", b"\\u0074ype"])
def test_event_type_however_it_is_written(name):
    """The name `type` may be escaped in the JSON."""
    event = Entry(b'{"n":[1],"%b":"join"}' % name, "5-0")
    assert ServerSentEvents.of(Option.TYPES).frame(event).startswith(b"event: join\n")


def test_heartbeat_that_a_page_sees():
    """A heartbeat without a cursor has no id, which an EventSource would remember."""
    frames = ServerSentEvents.of(Option.HEARTBEATS)
    assert frames.heartbeat("5-0") == frames.at("5-0")
    assert frames.heartbeat("") == b'event: cursor\ndata: {"id":""}\n\n'


def test_json_lines():
    """An event has its id; other messages are sent as plain JSON."""
    frames = JSONLines.of()
    assert frames.frame(Entry(b'{"n":1}', "5-0")) == b'{"id":"5-0","data":{"n":1}}\n'
    assert frames.part(b'{"n":\n1}', "application/json") == b'{"n": 1}\n'
    assert frames.part(b"two\nlines", "text/plain") == b'"two\\nlines"\n'
    assert frames.at("5-0") == frames.heartbeat("5-0") == b'{"id":"5-0"}\n'
    assert frames.heartbeat("") == b'{"id":""}\n'


def test_websocket():
    """Messages have the form of JSON lines, in frames of any size."""
    assert WebSocket.of().frame(Entry(b'{"n":1}', "5-0")) == b'\x81\x1b{"id":"5-0","data":{"n":1}}'
    assert WebSocket.of().at("4-0") == b'\x81\x0c{"id":"4-0"}'
    assert WebSocket.of().heartbeat("4-0") == b"\x89\x00"
    assert websocket_frame(BINARY, b"x" * 126)[:4] == b"\x82\x7e\x00\x7e"
    assert websocket_frame(BINARY, b"x" * 65536)[:10] == b"\x82\x7f" + (65536).to_bytes(8)


@pytest.mark.parametrize("option", [*Option, Option.NONE])
@pytest.mark.parametrize("kind", [Multipart, ServerSentEvents, JSONLines])
def test_a_gap(kind, option):
    """A gap names the lost range and the next cursor, and no event looks like it."""
    gap = Entry.loss("1-0", "5-0")
    body = b'{"type":"gap","after":"1-0","id":"5-0"}'
    assert gap.json == body
    frame = kind.of(option & ~Option.CHUNKED).frame(gap)
    assert body in frame
    if kind is ServerSentEvents:
        assert frame == b"event: gap\nid: 5-0\ndata: " + body + b"\n\n"
    assert WebSocket.of().frame(gap) == b"\x81" + bytes([len(body)]) + body


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'"a"', b"a"),
        (b' \t"a" ', b"a"),
        (b'"\\u00e9\\ud83d\\ude00\\n"', "\u00e9\U0001f600\n".encode()),
        (b'"half \\ud800"', b"half ?"),
        (b'""', b""),
    ],
)
def test_a_string_as_it_is(body, text):
    """A string is decoded from its JSON; a lone surrogate becomes a question mark."""
    frame = WebSocket.of(Option.TEXT).frame(Entry(body, "5-0"))
    assert frame == bytes([0x81, len(text)]) + text
    lines = b"".join(b"data: %b\n" % line for line in text.split(b"\n"))
    assert ServerSentEvents.of(Option.TEXT).frame(Entry(body, "5-0")) == b"id: 5-0\n%b\n" % lines
    assert body.strip() in ServerSentEvents.of().frame(Entry(body, "5-0"))

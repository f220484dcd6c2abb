"""Bytes on the wire, one small class a transport.

Rules:
1. A framing touches no socket and no clock, and keeps nothing of a subscriber: one instance serves
   all, so that an event is framed once.
2. What `frame`, `begin`, `at` and `wire` return goes to the socket as it is: `chunked` framings
   carry the chunk sizes of HTTP/1.1 (RFC 9112 7.1) with them.
3. A body that is not an event has no id: it moves no cursor.
"""

from __future__ import annotations

import json
import random
import re
import string
import struct
from typing import Any

from tatsumaki_py.message_queue.event import Entry

__all__ = [
    "CLOSE",
    "LAST_CHUNK",
    "PLAIN_WEBSOCKET",
    "TEXT",
    "VISIBLE_WEBSOCKET",
    "WEBSOCKET",
    "Framing",
    "JSONLines",
    "Multipart",
    "PlainWebSocket",
    "ServerSentEvents",
    "VisibleServerSentEvents",
    "VisibleWebSocket",
    "WebSocket",
    "framing",
    "websocket_frame",
]

LAST_CHUNK = b"0\r\n\r\n"
RETRY = 2000, 4000
"""Milliseconds after which an ``EventSource`` comes back: when a server goes, not all come in the
same moment.
"""
JSON, TEXT_TYPE = "application/json", "text/plain; charset=UTF-8"

# What ends a line for a parser of text/event-stream.
_LINE_END = re.compile(rb"\r\n|\r|\n")
# What ends a line for others, such as Python's `str.splitlines`, and may be in JSON as it is.
_SEPARATORS = {char.encode(): b"\\u%04x" % ord(char) for char in "\x85\u2028\u2029"}
# Names that mean something to the EventSource of a browser, or that this framing uses itself.
_RESERVED_TYPES = {"", "cursor", "error", "gap", "message", "open"}


class Framing:
    """The body as it is: no parts, no ids.

    Args:
        chunked: HTTP/1.1, where each write says its length.
        option: what the framing can do beyond the usual; each says what.
    """

    content_type: str | None = None
    has_heartbeat = False
    """Whether the transport has a heartbeat."""
    last = LAST_CHUNK
    """What ends a chunked stream."""

    def __init__(self, *, chunked: bool, option: bool = False) -> None:
        self.chunked = chunked
        self.option = option

    def wire(self, data: bytes) -> bytes:
        """`data` as it goes to the socket."""
        return b"%x\r\n%b\r\n" % (len(data), data) if self.chunked and data else data

    def frame(self, event: Entry) -> bytes:
        """An event as it goes to the socket."""
        frame = event.frames.get(self)
        if frame is None:
            frame = event.keep_frame(self, self.wire(self.event(event)))
        return frame

    def event(self, event: Entry, payload: bytes | None = None) -> bytes:
        """An event as one message of the transport.

        Args:
            payload: what its handler has made of it; by default it is as it was published.
        """
        if payload is None:
            return self.part(event.payload, JSON, event.id)
        return self.part(payload, TEXT_TYPE if _parsed(payload) is _NO_JSON else JSON, event.id)

    def part(self, body: bytes, content_type: str, id: str | None = None) -> bytes:
        """A body as one message of the transport."""
        return body

    def begin(self, cursor: str | None) -> bytes:
        """The first bytes, for a client that is at `cursor`, as they go to the socket."""
        return b""

    def at(self, cursor: str) -> bytes:
        """What tells a client its cursor, as it goes to the socket."""
        return b""

    def heartbeat(self, cursor: str) -> bytes:
        """What tells a silent client that the server is there, as it goes to the socket.

        Args:
            cursor: where the client is; "" if that is not known.
        """
        return b""


class Multipart(Framing):
    """multipart/mixed as ``DUI.Stream`` of the original reads it: LF, and the next boundary at once
    after each part.

    With `option`, each part has the id of its event, and a heartbeat has the cursor, in a header
    ``Last-Event-ID``. The original's client does not expect that.

    >>> part = Multipart(chunked=False).part(b"{}", "application/json")
    >>> part.startswith(b"Content-Type: application/json\\n\\n{}\\n--")
    True
    """

    # One for the whole process: subscribers share the parts.
    boundary = "".join(random.SystemRandom().choices(string.ascii_letters + string.digits, k=16))
    content_type = f'multipart/mixed; boundary="{boundary}"'
    has_heartbeat = True
    _delimiter = f"--{boundary}\n".encode()

    def begin(self, cursor: str | None) -> bytes:
        return self.wire(self._delimiter)

    def at(self, cursor: str) -> bytes:
        return self.heartbeat(cursor) if self.option else b""

    def heartbeat(self, cursor: str) -> bytes:
        # A part of a type that nobody listens to: the original's client ignores nothing else.
        return self.wire(self.part(b"", "application/x-heartbeat", cursor))

    def part(self, body: bytes, content_type: str, id: str | None = None) -> bytes:
        if self._delimiter in body:
            # Not JSON then: JSON has no line ends.
            raise ValueError("a part must not contain the boundary")
        cursor = f"Last-Event-ID: {id}\n" if self.option and id else ""
        return b"Content-Type: %b\n%b\n%b\n%b" % (
            content_type.encode("latin-1"),
            cursor.encode("latin-1"),
            body,
            self._delimiter,
        )


class ServerSentEvents(Framing):
    r"""text/event-stream (WHATWG HTML 9.2).

    With `option`, the ``type`` of an event is its ``event`` field too, if it is a single line that
    means nothing else to an ``EventSource``.

    Text goes out as it is: a client that takes U+2028, U+2029 or U+0085 for the end of a line
    misreads it. In JSON they are escaped.

    A place in the stream is an event of type ``cursor``: many clients remember an id only if its
    event has data, and a named event does not reach ``onmessage``. To some clients a blank line
    without data before it is an empty message, so only events end with one.

    >>> ServerSentEvents(chunked=False).part(b"two\r\nlines", "text/plain", "1-0")
    b'id: 1-0\ndata: two\ndata: lines\n\n'
    """

    content_type = "text/event-stream"
    has_heartbeat = True

    def begin(self, cursor: str | None) -> bytes:
        # Without a cursor the line is the first one of the next event.
        retry = b"retry: %d\n" % random.randint(*RETRY)
        return self.wire(retry + self._place(cursor) if cursor else retry)

    def at(self, cursor: str) -> bytes:
        return self.wire(self._place(cursor))

    def heartbeat(self, cursor: str) -> bytes:
        return self.wire(b":\n")

    @staticmethod
    def _place(cursor: str) -> bytes:
        # An empty id would take from the client the one that it has.
        field = b"id: %b\n" % cursor.encode() if cursor else b""
        return b"%bevent: cursor\ndata: %b\n\n" % (field, _at(cursor))

    def event(self, event: Entry, payload: bytes | None = None) -> bytes:
        name = "gap" if event.gap else self._type(event) if self.option else ""
        field = b"event: %b\n" % name.encode() if name else b""
        return field + super().event(event, payload)

    @staticmethod
    def _type(event: Entry) -> str:
        if b'"type"' not in event.json and b"\\u" not in event.json:
            # Most of the cost of framing would be to parse it.
            return ""
        value = event.event()
        name: Any = value.get("type") if isinstance(value, dict) else ""
        usable = isinstance(name, str) and name not in _RESERVED_TYPES and name.isprintable()
        return name if usable else ""

    def part(self, body: bytes, content_type: str, id: str | None = None) -> bytes:
        field = b"id: %b\n" % id.encode() if id else b""
        if content_type == JSON:
            body = _escaped(body)
        if b"\n" in body or b"\r" in body:
            body = b"\ndata: ".join(_LINE_END.split(body))
        return b"%bdata: %b\n\n" % (field, body)


class VisibleServerSentEvents(ServerSentEvents):
    """text/event-stream whose heartbeats a page sees: each is a place. A comment is not shown to
    it.
    """

    def heartbeat(self, cursor: str) -> bytes:
        return self.at(cursor)


class JSONLines(Framing):
    """application/x-ndjson: one JSON text a line; an event has its id beside it. A heartbeat, and
    a place in the stream, is an object with nothing but an id. There are no empty lines, where some
    parsers stop.

    >>> JSONLines(chunked=False).part(b"caf\\xc3\\xa9", "text/plain")
    b'"caf\\xc3\\xa9"\\n'
    """

    content_type = "application/x-ndjson"
    has_heartbeat = True

    def at(self, cursor: str) -> bytes:
        return self.heartbeat(cursor)

    def heartbeat(self, cursor: str) -> bytes:
        return self.wire(_at(cursor) + b"\n")

    def event(self, event: Entry, payload: bytes | None = None) -> bytes:
        return self.part(_envelope(event, payload), JSON)

    def part(self, body: bytes, content_type: str, id: str | None = None) -> bytes:
        if content_type != JSON:
            body = json.dumps(body.decode("utf-8", "replace"), ensure_ascii=False).encode()
        if b"\n" in body or b"\r" in body:
            # Within JSON they are white space.
            body = _LINE_END.sub(b" ", body)
        return _escaped(body) + b"\n"


_NO_JSON = object()


def _parsed(body: bytes) -> Any:
    """What `body` is the JSON of, or `_NO_JSON`."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return _NO_JSON


def _envelope(event: Entry, payload: bytes | None) -> bytes:
    """An event with its id beside it; `payload` is what its handler has made of it, if it has."""
    if payload is None:
        return event.envelope
    value = _parsed(payload)
    if value is _NO_JSON:
        payload = json.dumps(payload.decode("utf-8", "replace"), ensure_ascii=False).encode()
    elif event.gap and isinstance(value, dict):
        return payload
    elif event.payload is not event.json and isinstance(value, dict) and "channel" in value:
        return b'{"id":"%b",%b' % (event.id.encode(), payload.lstrip()[1:])
    return b'{"id":"%b","data":%b}' % (event.id.encode(), payload)


def _escaped(body: bytes) -> bytes:
    """JSON without the characters that some clients take for the end of a line."""
    if b"\xe2\x80" in body or b"\xc2\x85" in body:
        for char, escape in _SEPARATORS.items():
            body = body.replace(char, escape)
    return body


def _at(cursor: str) -> bytes:
    """A place in a stream, as JSON."""
    return json.dumps({"id": cursor}, separators=(",", ":")).encode()


TEXT, BINARY, CLOSE, PING = 0x1, 0x2, 0x8, 0x9


def websocket_frame(opcode: int, data: bytes) -> bytes:
    """One frame of a server (RFC 6455 5.2): whole, and not masked.

    >>> websocket_frame(TEXT, b"hi")
    b'\\x81\\x02hi'
    """
    size = len(data)
    if size < 126:
        head = struct.pack("!BB", 0x80 | opcode, size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", 0x80 | opcode, 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 127, size)
    return head + data


class WebSocket(Framing):
    """Messages of a WebSocket (RFC 6455): an event is the text of a JSON object with its id."""

    has_heartbeat = True
    last = b""

    def wire(self, data: bytes) -> bytes:
        return websocket_frame(TEXT, data)

    def event(self, event: Entry, payload: bytes | None = None) -> bytes:
        return _envelope(event, payload)

    def at(self, cursor: str) -> bytes:
        return self.wire(_at(cursor))

    def heartbeat(self, cursor: str) -> bytes:
        return websocket_frame(PING, b"")


class VisibleWebSocket(WebSocket):
    """Messages of a WebSocket, with heartbeats that a page sees: each is a place. A ping is not
    shown to it.
    """

    def heartbeat(self, cursor: str) -> bytes:
        return self.at(cursor)


class PlainWebSocket(WebSocket):
    """Messages of a WebSocket that are events as they were published, and nothing else but gaps: no
    ids, and no places.
    """

    def event(self, event: Entry, payload: bytes | None = None) -> bytes:
        return event.payload if payload is None else payload

    def at(self, cursor: str) -> bytes:
        return b""


_made: dict[tuple[type[Framing], bool, bool], Framing] = {}


def framing(kind: type[Framing], chunked: bool, option: bool = False) -> Framing:
    """The one instance of `kind` with these properties."""
    key = (kind, chunked, option)
    made = _made.get(key)
    if made is None:
        made = _made[key] = kind(chunked=chunked, option=option)
    return made


WEBSOCKET = WebSocket(chunked=False)
PLAIN_WEBSOCKET = PlainWebSocket(chunked=False)
VISIBLE_WEBSOCKET = VisibleWebSocket(chunked=False)

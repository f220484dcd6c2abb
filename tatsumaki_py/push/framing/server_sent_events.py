"""text/event-stream, which an ``EventSource`` reads."""

from __future__ import annotations

import random
from functools import lru_cache
from typing import Any

from tatsumaki_py.message_queue.event import Entry
from tatsumaki_py.push.framing import JSON, TEXT, Framing, Option
from tatsumaki_py.push.framing.json_text import LINE_END, escaped, place, string_of

__all__ = ["RETRY", "ServerSentEvents"]

RETRY = 2000, 4000
"""Milliseconds after which an ``EventSource`` reconnects. The times differ, so that the clients of
a server that stops do not all reconnect at the same moment.
"""
# Event types that mean something to a browser's EventSource or that this framing uses itself.
_RESERVED_TYPES = {"", "cursor", "end", "error", "gap", "message", "open"}


class ServerSentEvents(Framing):
    r"""text/event-stream (WHATWG HTML 9.2).

    With `Option.TYPES`, the ``type`` of an event is also sent in its ``event`` field, if it is a
    single line and not a reserved name. With `Option.HEARTBEATS`, a heartbeat is a place, because a
    page does not see comments. With `Option.TEXT`, the data of a string event is the lines of the
    string; an object that has only a ``type`` and a string ``text`` is sent as the lines of its
    text, with its type in the ``event`` field.

    Text is sent as it is, so a client that takes U+2028, U+2029 or U+0085 for the end of a line
    misreads it. In JSON, these are escaped.

    A place in the stream is an event of type ``cursor``, so that it does not reach ``onmessage``.
    This event has data, because many clients remember an id only if its event has data. The data
    may include ``retry``, because a page cannot read the field ``retry:``. Only events end with a
    blank line: some clients take a blank line without data before it for an empty message.

    >>> ServerSentEvents().part(b"two\r\nlines", "text/plain", "1-0")
    b'id: 1-0\ndata: two\ndata: lines\n\n'
    """

    transport = "sse"
    content_type = "text/event-stream"
    knows = Option.CHUNKED | Option.TYPES | Option.HEARTBEATS | Option.TEXT
    has_heartbeat = True

    def __init__(self, options: Option = Option.NONE) -> None:
        super().__init__(options)
        self._types = Option.TYPES in options
        self._visible = Option.HEARTBEATS in options
        self._text = Option.TEXT in options

    def begin(self, cursor: str | None) -> bytes:
        # If no place follows, this line is part of the first event.
        least, most = RETRY
        retry = b"retry: %d\n" % (least + (most - least) * random.random())
        return self.wire(retry + self._place(cursor) if cursor else retry)

    def at(self, cursor: str) -> bytes:
        return self.wire(self._place(cursor))

    def heartbeat(self, cursor: str) -> bytes:
        return self.at(cursor) if self._visible else self.wire(b":\n")

    def goodbye(self, cursor: str, retry: int) -> bytes:
        line = b"retry: %d\n" % retry
        return self.wire(line + self._place(cursor, retry) if cursor else line)

    @staticmethod
    # Cached, because clients that subscribe between two events are at the same place.
    @lru_cache(maxsize=16)
    def _place(cursor: str, retry: int | None = None) -> bytes:
        # An empty id would clear the id that the client remembers.
        field = b"id: %b\n" % cursor.encode() if cursor else b""
        return b"%bevent: cursor\ndata: %b\n\n" % (field, place(cursor, retry))

    def event(self, event: Entry, payload: bytes | None = None) -> bytes:
        if event.gap or event.end:
            field = b"event: gap\n" if event.gap else b"event: end\n"
            return field + super().event(event, payload)
        as_text = self._text and payload is None
        string = string_of(event) if as_text else None
        if string is not None:
            return self.part(string, TEXT, event.id)
        value = self._with_type(event) if self._types or as_text else {}
        name, text = self._type(value), value.get("text")
        field = b"event: %b\n" % name.encode() if name else b""
        if name and as_text and len(value) == 2 and isinstance(text, str):
            return field + self.part(text.encode("utf-8", "replace"), TEXT, event.id)
        return (field if self._types else b"") + super().event(event, payload)

    @staticmethod
    def _with_type(event: Entry) -> dict[str, Any]:
        """The event if it is an object that may have a ``type``; otherwise an empty dict."""
        if b'"type"' not in event.json and b"\\u" not in event.json:
            # Do not parse other events: parsing would be most of the cost of framing.
            return {}
        value = event.event()
        return value if isinstance(value, dict) else {}

    @staticmethod
    def _type(value: dict[str, Any]) -> str:
        name: Any = value.get("type")
        usable = isinstance(name, str) and name not in _RESERVED_TYPES and name.isprintable()
        return name if usable else ""

    def part(self, body: bytes, content_type: str, id: str | None = None) -> bytes:
        field = b"id: %b\n" % id.encode() if id else b""
        if content_type == JSON:
            body = escaped(body)
        if b"\n" in body or b"\r" in body:
            body = b"\ndata: ".join(LINE_END.split(body))
        return b"%bdata: %b\n\n" % (field, body)

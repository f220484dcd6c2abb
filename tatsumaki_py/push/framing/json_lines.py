"""application/x-ndjson: one JSON text per line."""

from __future__ import annotations

from tatsumaki_py.message_queue.event import Entry
from tatsumaki_py.push.framing import JSON, Framing
from tatsumaki_py.push.framing.json_text import LINE_END, enveloped, escaped, place, quoted

__all__ = ["JSONLines"]


class JSONLines(Framing):
    """application/x-ndjson: one JSON text per line. An event comes in an object with its id. A
    heartbeat or a place in the stream is an object with only an id; the last place may also have
    ``retry``. There are no empty lines, because some parsers stop at one.

    >>> JSONLines().part(b"caf\\xc3\\xa9", "text/plain")
    b'"caf\\xc3\\xa9"\\n'
    """

    transport = "ndjson"
    content_type = "application/x-ndjson"
    has_heartbeat = True

    def at(self, cursor: str) -> bytes:
        return self.heartbeat(cursor)

    def heartbeat(self, cursor: str) -> bytes:
        return self.wire(place(cursor) + b"\n")

    def goodbye(self, cursor: str, retry: int) -> bytes:
        return self.wire(place(cursor, retry) + b"\n") if cursor else b""

    def event(self, event: Entry, payload: bytes | None = None) -> bytes:
        return self.part(enveloped(event, payload), JSON)

    def part(self, body: bytes, content_type: str, id: str | None = None) -> bytes:
        if content_type != JSON:
            body = quoted(body)
        if b"\n" in body or b"\r" in body:
            # A line end in JSON is white space: inside a string, it would be escaped.
            body = LINE_END.sub(b" ", body)
        return escaped(body) + b"\n"

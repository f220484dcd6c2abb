"""Messages of a WebSocket (RFC 6455)."""

from __future__ import annotations

import struct

from tatsumaki_py.message_queue.event import Entry
from tatsumaki_py.push.framing import Framing, Option
from tatsumaki_py.push.framing.json_text import enveloped, own_form, place, string_of

__all__ = ["BINARY", "CLOSE", "PING", "PONG", "TEXT", "WebSocket", "websocket_frame"]

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA


def websocket_frame(opcode: int, data: bytes) -> bytes:
    """One frame from a server (RFC 6455 5.2), not fragmented and not masked.

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
    """Messages of a WebSocket: an event is the text of a JSON object with its id.

    With `Option.HEARTBEATS`, a heartbeat is a place, because a page does not see pings. With
    `Option.PLAIN`, the messages are the events as they were published, and gaps. `Option.TEXT`
    implies `Option.PLAIN`, and sends a string event as that string.
    """

    transport = "websocket"
    knows = Option.HEARTBEATS | Option.TEXT | Option.PLAIN
    has_heartbeat = True
    last = b""

    def __init__(self, options: Option = Option.NONE) -> None:
        super().__init__(options)
        self._text = Option.TEXT in options
        # A client could not tell a plain string from a place, so text implies plain.
        self._plain = self._text or Option.PLAIN in options
        self._visible = Option.HEARTBEATS in options and not self._plain

    def wire(self, data: bytes) -> bytes:
        return websocket_frame(TEXT, data)

    def event(self, event: Entry, payload: bytes | None = None) -> bytes:
        if not self._plain:
            return enveloped(event, payload)
        if payload is not None:
            # Repair invalid UTF-8: a client would close the connection.
            return own_form(event, payload.decode("utf-8", "replace").encode())[0]
        string = string_of(event) if self._text else None
        return event.payload if string is None else string

    def at(self, cursor: str) -> bytes:
        return b"" if self._plain else self.wire(place(cursor))

    def goodbye(self, cursor: str, retry: int) -> bytes:
        return self.wire(place(cursor, retry)) if cursor and not self._plain else b""

    def heartbeat(self, cursor: str) -> bytes:
        return self.at(cursor) if self._visible else websocket_frame(PING, b"")

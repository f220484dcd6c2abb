"""Bytes on the wire, one small class a transport.

Rules:
1. A framing touches no socket and no clock, and keeps nothing of a subscriber: one instance serves
   all, so that an event is framed once.
2. `chunked` framings carry the chunk sizes of HTTP/1.1 (RFC 9112 7.1) with them: what they return
   goes to the socket as it is.
"""

from __future__ import annotations

import random
import string

from tatsumaki_py.message_queue.event import Event

__all__ = ["LAST_CHUNK", "MULTIPART", "RAW", "Framing", "Key", "Multipart"]

LAST_CHUNK = b"0\r\n\r\n"


class Framing:
    """The body as it is: no parts, no ids."""

    content_type: str | None = None
    opening = b""
    heartbeat = b""
    """A sign of life as it goes to the socket, if the transport has one."""

    def __init__(self, *, chunked: bool, ids: bool = False) -> None:
        self.chunked = chunked
        self.ids = ids

    def wire(self, data: bytes) -> bytes:
        """`data` as it goes to the socket."""
        return b"%x\r\n%b\r\n" % (len(data), data) if self.chunked and data else data

    def frame(self, event: Event) -> bytes:
        """An event as it goes to the socket."""
        frame = event.frames.get(self)
        if frame is None:
            frame = event.frames[self] = self.wire(
                self.part(event.json, "application/json", event.id)
            )
        return frame

    def part(self, body: bytes, content_type: str, id: str | None = None) -> bytes:
        """One message of the transport."""
        return body


class Multipart(Framing):
    """multipart/mixed as ``DUI.Stream`` of the original reads it: LF, and the next boundary at once
    after each part.

    With `ids`, each part says its event's id in a header ``Last-Event-ID``; the original's client
    does not expect that.

    >>> part = Multipart(chunked=False).part(b"{}", "application/json")
    >>> part.startswith(b"Content-Type: application/json\\n\\n{}\\n--")
    True
    """

    # One for the whole process: subscribers share the parts.
    boundary = "".join(random.SystemRandom().choices(string.ascii_letters + string.digits, k=16))

    def __init__(self, *, chunked: bool, ids: bool = False) -> None:
        super().__init__(chunked=chunked, ids=ids)
        self.content_type = f'multipart/mixed; boundary="{self.boundary}"'
        self._delimiter = f"--{self.boundary}\n".encode()
        self.opening = self.wire(self._delimiter)
        self.heartbeat = self.wire(self.part(b"", "application/x-heartbeat"))

    def part(self, body: bytes, content_type: str, id: str | None = None) -> bytes:
        if self._delimiter in body:
            # Not JSON then: JSON has no line ends.
            raise ValueError("a part must not contain the boundary")
        cursor = f"Last-Event-ID: {id}\n" if self.ids and id else ""
        return b"Content-Type: %b\n%b\n%b\n%b" % (
            content_type.encode("latin-1"),
            cursor.encode("latin-1"),
            body,
            self._delimiter,
        )


Key = tuple[bool, bool]


def _all(kind: type[Framing]) -> dict[Key, Framing]:
    flags = (False, True)
    return {(chunked, ids): kind(chunked=chunked, ids=ids) for chunked in flags for ids in flags}


RAW = _all(Framing)
MULTIPART = _all(Multipart)
"""By (chunked, ids)."""

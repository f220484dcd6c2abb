"""multipart/mixed, as Tatsumaki streams it."""

from __future__ import annotations

import random
import string

from tatsumaki_py.push.framing import Framing, Option

__all__ = ["Multipart"]


class Multipart(Framing):
    """multipart/mixed as the original's ``DUI.Stream`` reads it: lines end with LF, and the next
    boundary follows each part immediately.

    With `Option.IDS`, a part has the id of its event in a header ``Last-Event-ID``, and a heartbeat
    has the cursor there. The original's client does not expect this header.

    >>> part = Multipart().part(b"{}", "application/json")
    >>> part.startswith(b"Content-Type: application/json\\n\\n{}\\n--")
    True
    """

    transport = "multipart"
    # One boundary for the whole process, so that subscribers can share the bytes of a part.
    boundary = "".join(random.SystemRandom().choices(string.ascii_letters + string.digits, k=16))
    content_type = f'multipart/mixed; boundary="{boundary}"'
    knows = Option.CHUNKED | Option.IDS
    has_heartbeat = True
    _delimiter = f"--{boundary}\n".encode()

    def __init__(self, options: Option = Option.NONE) -> None:
        super().__init__(options)
        self._ids = Option.IDS in options

    def begin(self, cursor: str | None) -> bytes:
        return self.wire(self._delimiter)

    def at(self, cursor: str) -> bytes:
        return self.heartbeat(cursor) if self._ids else b""

    def heartbeat(self, cursor: str) -> bytes:
        # The original's client ignores a part only if its content type has no listener.
        return self.wire(self.part(b"", "application/x-heartbeat", cursor))

    def part(self, body: bytes, content_type: str, id: str | None = None) -> bytes:
        if self._delimiter in body + b"\n":
            # This is not an event: the JSON of an event has no line ends.
            raise ValueError("a part must not contain the boundary")
        cursor = f"Last-Event-ID: {id}\n" if self._ids and id else ""
        return b"Content-Type: %b\n%b\n%b\n%b" % (
            content_type.encode("latin-1"),
            cursor.encode("latin-1"),
            body,
            self._delimiter,
        )

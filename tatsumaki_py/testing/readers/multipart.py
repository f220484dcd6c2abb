"""Multipart XHR."""

from __future__ import annotations

from tatsumaki_py.testing.message import BadAnswer, Message, Place, message_of, parsed
from tatsumaki_py.testing.readers.reader import Reader
from tatsumaki_py.testing.reply import Reply

__all__ = ["Multipart"]


class Multipart(Reader):
    """Reads ``multipart/mixed``."""

    # Send an empty cursor: parts have ids only if the client sent a cursor.
    params = {"last_event_id": ""}  # noqa: RUF012

    async def begin(self, head: Reply) -> None:
        await super().begin(head)
        content_type = head.headers.get("content-type", "")
        _, found, boundary = content_type.partition('boundary="')
        if not found:
            raise BadAnswer(f"the answer is not multipart, but {content_type!r}")
        boundary = boundary.rstrip('"')
        self._mark = f"\n--{boundary}\n".encode()
        self._body = b"\n"
        if await self.until(self._mark) != b"":
            raise BadAnswer("there are bytes before the first boundary")

    async def step(self) -> Message | Place | None:
        head, _, body = (await self.until(self._mark)).partition(b"\n\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\n"))
        if fields["Content-Type"] == "application/x-heartbeat":
            self.beats += 1
            return None
        return message_of(parsed(body), fields.get("Last-Event-ID"))

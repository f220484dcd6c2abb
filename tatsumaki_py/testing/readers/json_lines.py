"""JSON lines."""

from __future__ import annotations

from tatsumaki_py.testing.message import BadAnswer, Message, Place, enveloped, parsed
from tatsumaki_py.testing.readers.reader import Reader
from tatsumaki_py.testing.reply import Reply

__all__ = ["JSONLines"]


class JSONLines(Reader):
    """Reads ``application/x-ndjson``. A line with a place is a heartbeat."""

    async def begin(self, head: Reply) -> None:
        await super().begin(head)
        # There is no header Last-Event-ID if the log was not loaded yet when the stream began.
        self._fresh = self.cursor is None

    async def step(self) -> Message | Place | None:
        item = enveloped(parsed(await self.until(b"\n")))
        if isinstance(item, Message):
            self._fresh = False
            self.cursor = item.id or self.cursor
            return item
        if self._fresh:
            self.cursor = item.id or self.cursor
        if item.id not in ("", self.cursor):
            raise BadAnswer(f"a heartbeat has id {item.id}, after an event with id {self.cursor}")
        self.beats += item.retry is None
        return item

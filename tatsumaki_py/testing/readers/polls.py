"""Long polls and interval polls."""

from __future__ import annotations

from tatsumaki_py.testing.message import BadAnswer, Message, Place, message_of, parsed
from tatsumaki_py.testing.readers.reader import Reader
from tatsumaki_py.testing.reply import Reply, read_body

__all__ = ["IntervalPoll", "LongPoll"]


class LongPoll(Reader):
    """Reads the answer to one long poll."""

    streams = False

    async def begin(self, head: Reply) -> None:
        await super().begin(head)
        values = parsed(await read_body(self.connection, head))
        if not isinstance(values, list):
            raise BadAnswer(f"the answer to a poll must be a JSON list, not {values!r}")
        self.batch = [message_of(value, self.cursor) for value in values]
        for message in self.batch[:-1]:
            if not message.gap:
                message.id = None
        if self.batch and self.cursor is not None:
            self.batch[-1].id = self.cursor

    async def step(self) -> Message | Place | None:
        return self.batch.pop(0) if self.batch else None


class IntervalPoll(LongPoll):
    """Reads the answer to one interval poll."""

    pause = 0.005

"""The common part of the readers of all transports.

Rules:
1. A reader reads one answer, and only on request: a `Subscriber` that does not read is a slow
   client.
2. A reader checks that the bytes fit its transport, and raises `BadAnswer` if they do not.
"""

from __future__ import annotations

import re
from typing import ClassVar

from tatsumaki_py.testing.connection import Connection
from tatsumaki_py.testing.message import BadAnswer, Ended, Message, Place
from tatsumaki_py.testing.reply import Reply, read_chunk

__all__ = ["Reader"]


class Reader:
    """Reads one answer."""

    streams: ClassVar[bool] = True
    """Whether the answer stays open."""
    pause: ClassVar[float] = 0.0
    """Seconds to wait before a poll."""
    fields: ClassVar[dict[str, str]] = {}
    """Headers of the request."""
    params: ClassVar[dict[str, str]] = {}
    """Parameters of the URL."""
    between: ClassVar[re.Pattern[bytes]] = re.compile(b"")
    """Bytes that may follow the last message."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.cursor: str | None = None
        """The id of the last event; before any event, the cursor at which the stream began."""
        self.batch: list[Message] = []
        """Messages in the answer to a poll that have not been taken yet."""
        self.beats = 0
        self._body = b""
        self._head = Reply("", {})
        self._left: int | None = None

    @property
    def heartbeats(self) -> int:
        """The number of received heartbeats."""
        return self.beats

    async def begin(self, head: Reply) -> None:
        """Begin with the body after `head`."""
        self._head = head
        length = head.headers.get("content-length")
        self._left = None if length is None else int(length)
        self.cursor = head.headers.get("last-event-id")

    async def step(self) -> Message | Place | None:
        """The next message, or the next place; None for a heartbeat without a place."""
        raise NotImplementedError

    async def until(self, mark: bytes) -> bytes:
        """The body up to, but not including, `mark`. Raises `Ended` at the end of the body."""
        while mark not in self._body:
            chunk = await self._piece()
            if not chunk:
                if not self.between.fullmatch(self._body):
                    raise BadAnswer(f"the stream ended in the middle of a message: {self._body!r}")
                raise Ended
            self._body += chunk
        part, self._body = self._body.split(mark, 1)
        return part

    async def _piece(self) -> bytes:
        if self._head.headers.get("transfer-encoding") == "chunked":
            return await read_chunk(self.connection)
        if self._left is None:
            return await self.connection.read_some()
        data = await self.connection.read_exactly(self._left)
        self._left = 0
        return data

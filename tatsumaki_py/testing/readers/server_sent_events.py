"""Server-Sent Events."""

from __future__ import annotations

import re

from tatsumaki_py.testing.message import BadAnswer, Message, Place, message_of, parsed, place_of
from tatsumaki_py.testing.readers.reader import Reader

__all__ = ["ServerSentEvents"]


class ServerSentEvents(Reader):
    """Reads ``text/event-stream``."""

    between = re.compile(rb"(retry: \d+\n)*(:\n)*(retry: \d+\n)?")

    @property
    def heartbeats(self) -> int:
        """The number of comments, including those before the next event."""
        return self.beats + self._body.split(b"\n")[:-1].count(b":")

    async def step(self) -> Message | Place | None:
        data: list[str] = []
        fields: dict[str, str] = {}
        for line in (await self.until(b"\n\n")).decode().split("\n"):
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "data":
                data.append(value)
            elif name:
                fields[name] = value
            else:
                self.beats += 1
        if not data:
            return None
        value = parsed("\n".join(data).encode())
        if fields.get("event") == "cursor":
            return self._place(value, fields)
        message = message_of(value, fields.get("id"))
        message.event = fields.get("event")
        if message.gap != (message.event == "gap") or message.id != fields.get("id"):
            raise BadAnswer(f"the fields {fields} do not fit the data {value!r}")
        return message

    @staticmethod
    def _place(value: object, fields: dict[str, str]) -> Place:
        place = place_of(value if isinstance(value, dict) else {})
        # `retry` is sent twice: the browser reads the field, and the page reads the data.
        said = None if place.retry is None else str(place.retry)
        if place.id != fields.get("id") or (said is not None and said != fields.get("retry")):
            raise BadAnswer(f"the fields {fields} do not fit the data {value!r}")
        return place

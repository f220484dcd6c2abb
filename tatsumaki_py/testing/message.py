"""The messages of a subscriber, and the ends of streams."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tatsumaki_py.testing.reply import Reply

__all__ = [
    "BadAnswer",
    "Ended",
    "Message",
    "Place",
    "Refused",
    "enveloped",
    "message_of",
    "parsed",
    "place_of",
]


@dataclass
class Message:
    """An event or a gap, as a client receives it."""

    data: Any
    """The published value, parsed from JSON; text if it is not JSON."""
    id: str | None = None
    """The id of the event. In the answer to a poll, only the last event has one."""
    channel: str | None = None
    """The channel of the event, if the client reads several channels."""
    gap: bool = False
    """Whether this is a gap: the events after the cursor ``data["after"]`` are lost."""
    event: str | None = None
    """The field ``event`` of a Server-Sent Event."""

    @property
    def end(self) -> bool:
        """Whether this is the end of its channel."""
        return isinstance(self.data, dict) and self.data == {"type": "end"}


@dataclass
class Place:
    """A place in a stream: a cursor without an event."""

    id: str
    """The cursor; "" if there is none."""
    retry: int | None = None
    """Milliseconds after which the client should reconnect. If set, the stream is about to end."""


class Ended(Exception):
    """The server ended the stream normally, or no more events will come."""

    def __init__(self, code: int | None = None, reason: str = "") -> None:
        super().__init__(*[] if code is None else [code])
        self.code = code
        """The close code of a WebSocket; None for other streams."""
        self.reason = reason
        """The server's reason."""


class Refused(Exception):
    """The server answered with an error instead of events."""

    def __init__(self, reply: Reply) -> None:
        text = reply.body.decode("utf-8", "replace").strip().partition("\n")[0]
        super().__init__(f"{reply.line}: {text}" if text else reply.line)
        self.reply = reply
        """The answer."""


class BadAnswer(AssertionError):
    """The server's bytes do not fit the requested transport."""


def parsed(text: bytes) -> Any:
    """The value of a JSON text; the text itself if it is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text.decode("utf-8", "replace")


def message_of(value: Any, id: str | None = None) -> Message:
    """The message for a value, over any transport."""
    if isinstance(value, dict):
        if value.get("type") == "gap" and "after" in value:
            return Message(value, value["id"], value.get("channel"), True)
        # Only an event of several channels names its channel, and its id has a comma.
        if set(value) == {"channel", "data"} and "," in (id or ""):
            return Message(value["data"], id, value["channel"])
    return Message(value, id)


def enveloped(value: Any) -> Message | Place:
    """The message or the place for a value that may have its id in the JSON."""
    if isinstance(value, dict):
        if {"id", "data"} <= set(value) <= {"id", "data", "channel"}:
            return Message(value["data"], value["id"], value.get("channel"))
        if set(value) in ({"id"}, {"id", "retry"}):
            return place_of(value)
    return message_of(value)


def place_of(value: dict[str, Any]) -> Place:
    """The place for an object. Raises `BadAnswer` if it is not a place."""
    known = set(value) in ({"id"}, {"id", "retry"}) and isinstance(value["id"], str)
    retry = value.get("retry", 1)
    if not known or type(retry) is not int or retry <= 0 or ("retry" in value and not value["id"]):
        raise BadAnswer(f"this is neither an event nor a place in the stream: {value!r}")
    return Place(value["id"], value.get("retry"))

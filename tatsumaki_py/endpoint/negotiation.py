"""Which transport a request asks for.

Rule: what cannot be understood is refused, and the refusal says what can.
"""

from __future__ import annotations

from tatsumaki_py.error import HTTPError
from tatsumaki_py.request import Request

__all__ = ["MEDIA_TYPES", "TRANSPORTS", "negotiate"]

TRANSPORTS = ("sse", "websocket", "ndjson", "multipart", "long-poll", "interval-poll")
"""What ``?transport=`` may say."""

MEDIA_TYPES = {
    "text/event-stream": "sse",
    "text/*": "sse",
    "application/x-ndjson": "ndjson",
    "application/ndjson": "ndjson",
    "application/jsonl": "ndjson",
    "multipart/mixed": "multipart",
    "multipart/*": "multipart",
    "application/json": "long-poll",
    "application/*": "long-poll",
    "*/*": "long-poll",
}
"""What each entry of an ``Accept`` header stands for."""

MAX_ENTRIES = 100
"""Entries of one ``Accept`` header; thousands would take the loop's time."""


def negotiate(request: Request) -> str:
    """One of `TRANSPORTS`: what the header ``Upgrade`` says, else the parameter ``transport``, else
    the header ``Accept`` (without one: "long-poll").

    Raises `Error.HTTP`: 400 for a transport that is none, 406 if nothing is acceptable or there are
    more than `MAX_ENTRIES` entries, 426 for a WebSocket without its handshake.
    """
    if request.headers.get("Upgrade", "").lower() == "websocket":
        return "websocket"
    name = request.param("transport")
    if name == "websocket":
        raise HTTPError(426, "a WebSocket begins with its handshake")
    if name in TRANSPORTS:
        return name
    if name:
        raise HTTPError(400, f"transport is one of {', '.join(TRANSPORTS)}")
    for media_type in _accepted(request.headers.get("Accept") or "*/*"):
        if media_type in MEDIA_TYPES:
            return MEDIA_TYPES[media_type]
    known = (media_type for media_type in MEDIA_TYPES if "*" not in media_type)
    raise HTTPError(406, f"acceptable are {', '.join(known)}")


def _accepted(header: str) -> list[str]:
    """The media types of an ``Accept`` header (RFC 9110 12.5.1), best first."""
    if header.count(",") >= MAX_ENTRIES:
        raise HTTPError(406, f"the header Accept has more than {MAX_ENTRIES} entries")
    weighed = []
    for entry in header.split(","):
        media_type, *parameters = (part.strip().lower() for part in entry.split(";"))
        weight = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "q":
                try:
                    weight = float(value)
                except ValueError:
                    weight = 0.0
        if weight > 0:
            weighed.append((weight, media_type))
    weighed.sort(key=lambda pair: -pair[0])
    return [media_type for _, media_type in weighed]

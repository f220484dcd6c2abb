"""JSON as messages carry it: an event with its id beside it, a place, a string as it is."""

from __future__ import annotations

import json
import re
from typing import Any

from tatsumaki_py.message_queue.event import Entry

__all__ = ["LINE_END", "NO_JSON", "enveloped", "escaped", "parsed", "place", "quoted", "string_of"]

LINE_END = re.compile(rb"\r\n|\r|\n")
"""The end of a line for a parser of text/event-stream."""
NO_JSON = object()
# The end of a line for others, such as Python's `str.splitlines`. JSON may have them as they are.
_SEPARATORS = {char.encode(): b"\\u%04x" % ord(char) for char in "\x85\u2028\u2029"}


def parsed(body: bytes) -> Any:
    """The value of `body` as JSON, or `NO_JSON`."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return NO_JSON


def quoted(body: bytes) -> bytes:
    """Text as a JSON string."""
    return json.dumps(body.decode("utf-8", "replace"), ensure_ascii=False).encode()


def escaped(body: bytes) -> bytes:
    """JSON without the characters that some clients take for the end of a line."""
    if b"\xe2\x80" in body or b"\xc2\x85" in body:
        for char, escape in _SEPARATORS.items():
            body = body.replace(char, escape)
    return body


def place(cursor: str) -> bytes:
    """A place in a stream, as JSON."""
    return json.dumps({"id": cursor}, separators=(",", ":")).encode()


def enveloped(event: Entry, payload: bytes | None) -> bytes:
    """An event with its id beside it.

    Args:
        payload: what a handler has made of it; by default it is as it was published.
    """
    if payload is None:
        return event.envelope
    value = parsed(payload)
    if value is NO_JSON:
        payload = quoted(payload)
    elif event.gap and isinstance(value, dict):
        return payload
    elif event.payload is not event.json and isinstance(value, dict) and "channel" in value:
        return b'{"id":"%b",%b' % (event.id.encode(), payload.lstrip()[1:])
    return b'{"id":"%b","data":%b}' % (event.id.encode(), payload)


def string_of(event: Entry) -> bytes | None:
    """The string that was published, in UTF-8; None if the event is something else."""
    # JSON of a client may begin with white space.
    body = event.json.lstrip()
    return json.loads(body).encode("utf-8", "replace") if body.startswith(b'"') else None

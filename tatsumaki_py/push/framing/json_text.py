"""The JSON of messages: an event in an object with its id, a place, and a string sent as it is.

Rule: a string that is sent as it is, or JSON that a handler made, is never taken for a gap, an end
or an id.
"""

from __future__ import annotations

import json
import re
from json.encoder import encode_basestring_ascii
from typing import Any, NoReturn

from tatsumaki_py.message_queue.event import Entry

__all__ = [
    "LINE_END",
    "NO_JSON",
    "enveloped",
    "escaped",
    "own_form",
    "parsed",
    "place",
    "quoted",
    "string_of",
]

LINE_END = re.compile(rb"\r\n|\r|\n")
"""The end of a line in text/event-stream."""
NO_JSON = object()
# Other parsers, such as `str.splitlines`, also split lines here. JSON may contain these unescaped.
_SEPARATORS = {char.encode(): b"\\u%04x" % ord(char) for char in "\x85\u2028\u2029"}


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number in JSON")


_decoder = json.JSONDecoder(parse_constant=_refuse)


def parsed(body: bytes) -> Any:
    """The value of `body` as JSON, or `NO_JSON`."""
    try:
        # `json.loads` would accept UTF-16 and a byte order mark.
        return _decoder.decode(body.decode())
    except (ValueError, RecursionError):
        return NO_JSON


def quoted(body: bytes) -> bytes:
    """Text as a JSON string."""
    return json.dumps(body.decode("utf-8", "replace"), ensure_ascii=False).encode()


def escaped(body: bytes) -> bytes:
    """`body` with every character escaped that some clients take for the end of a line."""
    if b"\xe2\x80" in body or b"\xc2\x85" in body:
        for char, escape in _SEPARATORS.items():
            body = body.replace(char, escape)
    return body


def place(cursor: str, retry: int | None = None) -> bytes:
    """A place in a stream, as JSON. With `retry`, the stream ends there, and the client should
    reconnect after `retry` milliseconds.
    """
    end = "" if retry is None else f',"retry":{retry}'
    return f'{{"id":{encode_basestring_ascii(cursor)}{end}}}'.encode()


def _is_special(value: Any) -> bool:
    """Whether a client would take `value` for a gap or an end."""
    return isinstance(value, dict) and value.get("type") in ("gap", "end")


def own_form(event: Entry, payload: bytes) -> tuple[bytes, Any]:
    """The bytes to send for `payload`, which a handler made of `event`, and their value as JSON, or
    `NO_JSON`. JSON that a client would take for a gap or an end becomes a JSON string.
    """
    value = parsed(payload)
    if _is_special(value) and not (event.gap or event.end):
        return quoted(payload), payload.decode()
    return payload, value


def enveloped(event: Entry, payload: bytes | None) -> bytes:
    """An event in a JSON object with its id.

    Args:
        payload: the text that a handler made of the event; by default, the event as it was
            published.
    """
    if payload is None:
        return event.envelope
    payload, value = own_form(event, payload)
    if value is NO_JSON:
        payload = quoted(payload)
    elif event.gap and isinstance(value, dict):
        return payload
    elif event.payload is not event.json and isinstance(value, dict) and _has_channel(value):
        return b'{"id":"%b",%b' % (event.id.encode(), payload.lstrip()[1:])
    return b'{"id":"%b","data":%b}' % (event.id.encode(), payload)


def _has_channel(value: dict[str, Any]) -> bool:
    """Whether the object has a channel and no id yet, so that the id can be added to it."""
    return "channel" in value and "id" not in value


def string_of(event: Entry) -> bytes | None:
    """The string that was published, in UTF-8. None if the event is not a string, or if a client
    would take the string for a gap or an end.
    """
    # JSON that a client published may begin with white space.
    body = event.json.lstrip()
    if not body.startswith(b'"'):
        return None
    string: bytes = json.loads(body).encode("utf-8", "replace")
    return None if string.lstrip().startswith(b"{") and _is_special(parsed(string)) else string

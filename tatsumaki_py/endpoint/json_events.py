"""Events that a client sent as JSON.

Rules:
1. A body is parsed only if parsing will not block the loop for long. The time depends on the number
   of values rather than on the number of bytes, so the values are counted first.
2. An event is published as it was sent (`event_json.read_event`).
3. A list contains several events. To publish an event that is a list, a client puts it into a list.
"""

from __future__ import annotations

import json
import re

from tatsumaki_py.error import HTTPError
from tatsumaki_py.message_queue.event_json import Unfit, read_event

__all__ = ["read"]

_SPACE = re.compile(r"[ \t\r\n]*")


def read(body: bytes, max_values: int, max_events: int) -> tuple[list[bytes], bool]:
    """The events in `body`, and whether it is a list of them.

    Raises `Error.HTTP`: 400 if the body is not JSON, or contains a value that is not a valid event;
    413 for more than `max_values` values or `max_events` events.
    """
    if _has_more(body, max_values):
        raise HTTPError(413, f"more than {max_values} values in one request")
    try:
        text = body.decode()
        if text.startswith("\ufeff"):
            raise ValueError("it begins with a byte order mark")
        return _split(text, max_events)
    except Unfit as error:
        raise HTTPError(400, f"not an event: {error}") from None
    except RecursionError:
        raise HTTPError(400, "not JSON: nested too deeply") from None
    except ValueError as error:
        raise HTTPError(400, f"not JSON: {error}") from None


def _has_more(body: bytes, limit: int) -> bool:
    """Whether there are more than `limit` values in `body`, which may be JSON."""
    if _most(body) <= limit:
        return False
    # Do not count commas inside strings. An escaped quote does not begin or end a string.
    unescaped = body.replace(rb"\\", b"").replace(rb"\"", b"")
    # A value and its name are at most two strings, with four quotes.
    return unescaped.count(b'"') > 4 * limit or _most(b"".join(unescaped.split(b'"')[::2])) > limit


def _most(text: bytes) -> int:
    """An upper bound of the number of values in `text`, if `text` contains no strings."""
    return 1 + text.count(b",") + text.count(b"[") + text.count(b"{")


def _split(text: str, max_events: int) -> tuple[list[bytes], bool]:
    index = _skip(text, 0)
    if text[index : index + 1] != "[":
        body, index = read_event(text, index)
        _expect(text, _skip(text, index), "")
        return [body], False
    bodies: list[bytes] = []
    index = _skip(text, index + 1)
    if text[index : index + 1] == "]":
        _expect(text, _skip(text, index + 1), "")
        return bodies, True
    while True:
        if len(bodies) == max_events:
            raise HTTPError(413, f"more than {max_events} events in one request")
        body, index = read_event(text, index)
        bodies.append(body)
        index = _skip(text, index)
        if text[index : index + 1] == "]":
            _expect(text, _skip(text, index + 1), "")
            return bodies, True
        _expect(text, index, ",")
        index = _skip(text, index + 1)


def _skip(text: str, index: int) -> int:
    """The index after the white space at `index`."""
    match = _SPACE.match(text, index)
    return match.end() if match else index


def _expect(text: str, index: int, sign: str) -> None:
    """Raise `ValueError` unless `sign` is at `index`. "" means the end of the text."""
    if text[index : index + 1] != sign:
        wanted = f"'{sign}'" if sign else "the end"
        raise json.JSONDecodeError(f"Expecting {wanted}", text, index)

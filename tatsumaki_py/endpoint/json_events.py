"""Events that a client sent as JSON.

Rules:
1. Nothing is parsed before it is known that parsing it takes the loop little time: the time depends
   on the number of values, not on the number of bytes.
2. An event is published as it was sent: what is parsed is only looked at.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from tatsumaki_py.error import HTTPError
from tatsumaki_py.message_queue.event import MAX_DEPTH, check_type, depth

__all__ = ["read"]

MAX_DIGITS = 1000
"""Characters of one number."""

_SPACE = re.compile(r"[ \t\r\n]*")
# Half of a surrogate pair, in JSON without escaped backslashes.
_HALF = re.compile(
    r"\\u[dD](?:[89abAB]\w\w(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]\w\w\\u[dD])[c-fC-F])"
)


def read(body: bytes, max_values: int, max_events: int) -> tuple[list[bytes], bool]:
    """The events in `body`, and whether it is a list of them.

    Raises `Error.HTTP`: 400 if it is not JSON or one is no event, 413 for more than `max_values`
    values or `max_events` events.
    """
    if _has_more(body, max_values):
        raise HTTPError(413, f"more than {max_values} values in one request")
    try:
        text = body.decode()
        if text.startswith("\ufeff"):
            raise ValueError("it begins with a byte order mark")
        return _split(text, max_events)
    except RecursionError:
        raise HTTPError(400, "not JSON: too deep") from None
    except ValueError as error:
        raise HTTPError(400, f"not JSON: {error}") from None


def _has_more(body: bytes, limit: int) -> bool:
    """Whether there are more than `limit` values in `body`, which may be JSON."""
    if _most(body) <= limit:
        return False
    # Many of the commas may be in strings. Escaped quotes begin and end none.
    unescaped = body.replace(rb"\\", b"").replace(rb"\"", b"")
    # Each value has a name at most.
    return unescaped.count(b'"') > 4 * limit or _most(b"".join(unescaped.split(b'"')[::2])) > limit


def _most(text: bytes) -> int:
    """How many values there may be, if `text` has no strings."""
    return 1 + text.count(b",") + text.count(b"[") + text.count(b"{")


def _split(text: str, max_events: int) -> tuple[list[bytes], bool]:
    index = _skip(text, 0)
    if text[index : index + 1] != "[":
        body, index = _event(text, index)
        _expect(text, index, "")
        return [body], False
    bodies: list[bytes] = []
    index = _skip(text, index + 1)
    if text[index : index + 1] == "]":
        _expect(text, _skip(text, index + 1), "")
        return bodies, True
    while True:
        if len(bodies) == max_events:
            raise HTTPError(413, f"more than {max_events} events in one request")
        body, index = _event(text, index)
        bodies.append(body)
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
    """Raises `ValueError` unless `sign` is at `index`, "" for the end."""
    if text[index : index + 1] != sign:
        wanted = f"'{sign}'" if sign else "the end"
        raise json.JSONDecodeError(f"Expecting {wanted}", text, index)


def _event(text: str, index: int) -> tuple[bytes, int]:
    """The event at `index`, and the index of what follows the white space after it."""
    value, end = _decoder.raw_decode(text, index)
    if not isinstance(value, dict):
        raise HTTPError(400, "an event is a JSON object")
    source = text[index:end]
    try:
        _check(value, source)
    except ValueError as error:
        raise HTTPError(400, f"no event: {error}") from None
    # Line ends can only be between tokens. A line is an event for some transports.
    return source.replace("\n", " ").replace("\r", " ").encode(), _skip(text, end)


def _check(value: Mapping[str, Any], source: str) -> None:
    check_type(value)
    if source.count("[") + source.count("{") > MAX_DEPTH and depth(value) > MAX_DEPTH:
        raise ValueError(f"nested more than {MAX_DEPTH} deep")
    if _HALF.search(source.replace(r"\\", "")):
        # JSON can say it, UTF-8 cannot.
        raise ValueError("half of a surrogate pair")


def _integer(digits: str) -> None:
    # Nobody looks at the number.
    if len(digits) > MAX_DIGITS:
        raise HTTPError(400, f"no event: a number of {len(digits)} characters")


def _real(digits: str) -> None:
    if len(digits) > MAX_DIGITS or math.isinf(float(digits)):
        raise HTTPError(400, "no event: a number is too long or too large")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        # Of two values some clients would take the first, others the last.
        raise HTTPError(400, "no event: a name is there twice in one object")
    return found


def _no_json(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


_decoder = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_real, parse_constant=_no_json
)

"""The JSON of an event: encoded from a value, or received and checked.

Rules:
1. Every client can parse the checked JSON, on every transport: it is UTF-8 without halves of
   surrogate pairs, has no NaN, is nested at most `MAX_DEPTH` levels deep, and is on one line.
2. A value that looks like a gap or an end is refused: clients would adopt the cursor of a gap, and
   would not come back after an end.
3. Received JSON is kept unchanged, except for its line ends: it is parsed only to be checked.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from tatsumaki_py.json_codec import JSON, JSONCodec

__all__ = [
    "END",
    "MAX_DEPTH",
    "Unfit",
    "check_bytes",
    "check_type",
    "checked_json",
    "encode",
    "event_json",
    "read_event",
]

END = b'{"type":"end"}'
"""The JSON of the event that ends a channel."""
MAX_DEPTH = 100
"""Maximum nesting of lists and dicts in an event; many parsers refuse more."""
MAX_DIGITS = 1000
"""Maximum characters of a number in received JSON."""
_PATH = 200
"""Maximum characters of the path to a field in an error."""

# Half of a surrogate pair, in JSON from which escaped backslashes were removed.
_HALF = re.compile(
    r"\\u[dD](?:[89abAB]\w\w(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]\w\w\\u[dD])[c-fC-F])"
)


class Unfit(ValueError):
    """The value is JSON but cannot be an event."""


def event_json(value: Any, codec: JSONCodec = JSON) -> bytes:
    """`value` as the JSON of an event, encoded by `codec`.

    Raises `TypeError` or `ValueError` that names the field if there is no such JSON.
    """
    if codec is not JSON:
        return _encoded(value, codec)
    check_type(value)
    return encode(value)


def encode(value: Any) -> bytes:
    """`value` as JSON in UTF-8. Raises the same errors as `event_json`."""
    try:
        body = JSON.encode(_plain(value)).encode()
        if body.count(b"[") + body.count(b"{") > MAX_DEPTH and _depth(json.loads(body)) > MAX_DEPTH:
            raise RecursionError
        return body
    except (TypeError, ValueError, RecursionError) as error:
        raise _refusal(error, value, JSON) from None


def _encoded(value: Any, codec: JSONCodec) -> bytes:
    """`value` as JSON, encoded by a user's encoder, whose result is checked."""
    value = _plain(value)
    try:
        text: Any = codec.encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise _refusal(error, value, codec) from error
    if not isinstance(text, str):
        raise TypeError(f"MessageQueue.json must return a str, not {type(text).__name__}")
    try:
        return _read_whole(text)
    except RecursionError as error:
        raise _refusal(error, value, codec) from None
    except Unfit as error:
        message = f"MessageQueue.json has returned a value that is not an event: {error}"
        raise ValueError(message) from None
    except ValueError as error:
        raise ValueError(f"MessageQueue.json must return JSON: {error}") from None


def _plain(value: Any) -> Any:
    """`value`; converted to a dict if it is another kind of mapping."""
    is_other = not isinstance(value, dict) and isinstance(value, Mapping)
    return dict(value) if is_other else value


def check_type(value: Any) -> None:
    """Raises `Unfit` for an object whose type cannot be published."""
    kind = value.get("type") if isinstance(value, (dict, Mapping)) else None
    # On some transports, only the type reveals a gap or an end.
    if kind == "gap":
        raise Unfit('an event of type "gap" would be taken for a loss; give it another type')
    if kind == "end":
        raise Unfit('an event of type "end" would end the channel: call end(), or change the type')


def _depth(value: Any) -> int:
    """The depth to which lists and dicts are nested in `value`, which was parsed from JSON."""
    levels, items = 0, [value]
    while items := [item for item in items if type(item) is dict or type(item) is list]:
        levels += 1
        items = [item for held in items for item in (held.values() if type(held) is dict else held)]
    return levels


# -- errors that name the field


def _refusal(error: Exception, value: Any, codec: JSONCodec) -> Exception:
    if isinstance(error, RecursionError):
        return ValueError(f"an event must be JSON: nested too deeply (maximum {MAX_DEPTH} levels)")
    kind = TypeError if isinstance(error, TypeError) else ValueError
    return kind(f"an event must be JSON: {_fault(value, codec) or error}")


def _fault(value: Any, codec: JSONCodec) -> str | None:
    """Names the first part of `value` that `codec` cannot encode, with the reason."""
    seen: set[int] = set()
    parts: list[tuple[str, Any]] = [("event", value)]
    while parts:
        path, part = parts.pop()
        if isinstance(part, (dict, list, tuple)):
            if id(part) in seen:
                continue
            seen.add(id(part))
            inner: Iterable[tuple[Any, Any]] = (
                part.items() if isinstance(part, dict) else enumerate(part)
            )
            found = [(f"{path}[{_name(key)}]", held) for key, held in inner]
            for key in part if isinstance(part, dict) else ():
                if not isinstance(key, (str, int, float, type(None))):
                    return f"{path} has a key of type {type(key).__name__}"
            parts += reversed(found)
        elif reason := _reason(part, codec):
            return f"{path if len(path) < _PATH else path[:_PATH] + '...'} {reason}"
    return None


def _name(key: Any) -> str:
    return json.dumps(key) if isinstance(key, (str, int)) else repr(key)


def _reason(part: Any, codec: JSONCodec) -> str:
    """The reason why `codec` cannot encode `part`; "" if it can."""
    try:
        codec.encode(part).encode()
    except TypeError:
        return f"is of type {type(part).__name__}, which MessageQueue.json does not encode"
    except UnicodeEncodeError:
        return "has half of a surrogate pair"
    except ValueError as error:
        return f"is {part!r}" if isinstance(part, float) else f"cannot be encoded: {error}"
    return ""


# -- received JSON


def check_bytes(body: object) -> None:
    """Raises `TypeError` if `body` is not of type bytes."""
    if not isinstance(body, bytes):
        kind = type(body).__name__
        raise TypeError(f"publish_json takes bytes, not {kind}: publish takes values")


def checked_json(body: bytes) -> bytes:
    """`body`, JSON in UTF-8, as the JSON of an event.

    Raises `TypeError` if it is not of type bytes, `ValueError` if it is not JSON, or not an event.
    """
    check_bytes(body)
    try:
        return _read_whole(body.decode())
    except Unfit as error:
        raise ValueError(f"not an event: {error}") from None
    except RecursionError:
        raise ValueError("not JSON: nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from None


def _read_whole(text: str) -> bytes:
    """The event in `text`. Raises the same errors as `read_event`."""
    text = text.strip(" \t\r\n")
    body, end = read_event(text)
    if end < len(text):
        raise json.JSONDecodeError("Extra data", text, end)
    return body


def read_event(text: str, index: int = 0) -> tuple[bytes, int]:
    """The event at `index` of `text`, and the index after it.

    Raises `Unfit` if it is not an event, and another `ValueError`, or `RecursionError`, if it is
    not JSON.
    """
    value, end = _decoder.raw_decode(text, index)
    source = text[index:end]
    check_type(value)
    if source.count("[") + source.count("{") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise Unfit(f"nested more than {MAX_DEPTH} levels deep")
    if _HALF.search(source.replace(r"\\", "")):
        # JSON can escape it, but UTF-8 cannot encode it.
        raise Unfit("half of a surrogate pair")
    # Line ends can only occur between tokens. On some transports, each line is one event.
    return source.replace("\n", " ").replace("\r", " ").encode(), end


def _integer(digits: str) -> None:
    # The value of the number is not needed.
    if len(digits) > MAX_DIGITS:
        raise Unfit(f"a number is too long ({len(digits)} characters)")


def _real(digits: str) -> None:
    if len(digits) > MAX_DIGITS or math.isinf(float(digits)):
        raise Unfit("a number is too long or too large")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        # Some clients would use the first of two values, others the last.
        raise Unfit("a name occurs twice in one object")
    return found


def _no_json(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number in JSON")


_decoder = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_real, parse_constant=_no_json
)

"""The head of a request: its first line and its headers.

Rules:
1. A head is accepted only if llhttp and the checks of this file accept it. Two parsers must never
   disagree on where a request or its body ends (RFC 9112 sections 2.2, 6.1 and 6.3).
2. The first line is parsed here, because llhttp accepts only the methods that it knows, and only
   ASCII targets.

Uses two undocumented names of Tornado, because an `HTTPHeaders` that checks each header again would
take most of the time: `_as_list`, `_combined_cache` (``t/handler/test_tornado_contract.py``).
"""

from __future__ import annotations

import re
from functools import lru_cache

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from tornado.http1connection import is_transfer_encoding_chunked
from tornado.httputil import (
    HTTPHeaders,
    HTTPInputError,
    RequestStartLine,
    parse_request_start_line,
)

__all__ = ["Head", "HeadTooLarge", "cut", "parse"]

_FIRST_LINE = re.compile(
    rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21-\x7e\x80-\xff]+) (HTTP/1\.[01])\r\n"
)
_ABSOLUTE = re.compile(r"(?i:https?)://([^/?#]+)(.*)")

# llhttp gets a first line that it always accepts.
_KNOWN_LINE = b"POST / HTTP/1.1\r\n"

_LONG_NAME = 64
"""The most characters of a header name that is cached."""


class Head:
    """The head of one request."""

    __slots__ = ("chunked", "expects", "headers", "keep_alive", "length", "start_line")

    def __init__(self, start_line: RequestStartLine, headers: HTTPHeaders) -> None:
        self.start_line = start_line
        self.headers = headers
        self.length = 0
        """The length of the body in bytes, unless it is chunked."""
        self.chunked = False
        self.expects = False
        """Whether the client waits for ``100 Continue``, or for an answer, before it sends the
        body. After an answer, it may never send the body.
        """
        self.keep_alive = start_line.version == "HTTP/1.1"
        """Whether the client allows the connection to stay open after the answer."""


class _Fields:
    """The callbacks of llhttp."""

    __slots__ = ("by_name", "complete")

    def __init__(self) -> None:
        self.by_name: dict[str, list[str]] = {}
        self.complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        key = _cached_name(name) if len(name) <= _LONG_NAME else _name(name)
        text = value.decode("latin-1").rstrip(" \t")
        values = self.by_name.get(key)
        if values is None:
            self.by_name[key] = [text]
        else:
            values.append(text)

    def on_headers_complete(self) -> None:
        self.complete = True


def _name(name: bytes) -> str:
    """The name as `HTTPHeaders` spells it."""
    return "-".join([word.capitalize() for word in name.decode("latin-1").split("-")])


_cached_name = lru_cache(1000)(_name)


class HeadTooLarge(Exception):
    """The head of a request is larger than the server allows."""


def cut(data: bytes, max_size: int) -> tuple[bytes, bytes] | None:
    """The head at the beginning of `data`, and the bytes after it. None if the head is incomplete.

    Raises `HTTPInputError` if `data` cannot be the beginning of a head, `HeadTooLarge` if the head
    has more than `max_size` bytes.
    """
    if data[:2] == b"\r\n":
        # RFC 9112 section 2.2: an empty line before a request is skipped.
        data = data[2:]
        if data[:2] == b"\r\n":
            raise HTTPInputError("empty lines in place of a request")
    end = data.find(b"\r\n\r\n") + 4
    if (end if end > 3 else len(data)) > max_size:
        raise HeadTooLarge(f"a head of more than {max_size} bytes")
    if end > 3:
        return data[:end], data[end:]
    if data.count(b"\n") != data.count(b"\r\n"):
        raise HTTPInputError("bare LF in the head of a request")
    return None


def parse(data: bytes) -> Head:
    """The head in `data`, including the empty line at its end.

    Raises `HTTPInputError` if it is malformed or ambiguous.
    """
    line = _FIRST_LINE.match(data)
    if line is None:
        raise HTTPInputError(_why(data) or "Malformed HTTP request line")
    fields = _Fields()
    try:
        HttpRequestParser(fields).feed_data(_KNOWN_LINE + data[line.end() :])
    except HttpParserUpgrade:
        # llhttp stops at the end of the head if the client wants another protocol.
        pass
    except HttpParserError as error:
        raise HTTPInputError(_why(data) or str(error)) from None
    if not fields.complete:
        raise HTTPInputError("a head without an end")
    method, target, version = line[0].decode("latin-1")[:-2].split(" ")
    headers = HTTPHeaders.__new__(HTTPHeaders)
    headers._as_list, headers._combined_cache = fields.by_name, {}
    if target[0] != "/":
        target = _origin_form(target, headers)
    head = Head(RequestStartLine._make((method, target, version)), headers)
    _read_framing(head, fields.by_name)
    return head


def _why(data: bytes) -> str | None:
    """Tornado's reason for refusing a head, which is clearer than llhttp's."""
    line, _, rest = data.decode("latin-1").partition("\r\n")
    try:
        parse_request_start_line(line)
        headers = HTTPHeaders.parse(rest)
        is_transfer_encoding_chunked(headers)
        length = headers.get("Content-Length", "0")
        if not (length.isascii() and length.isdigit()):
            return f"Only integer Content-Length is allowed: {length}"
    except HTTPInputError as error:
        return str(error)
    return None


def _origin_form(target: str, headers: HTTPHeaders) -> str:
    """The path and query of a target that is an absolute URL, whose host replaces the header Host
    (RFC 9112 section 3.2.2). Any other target is returned unchanged.

    Raises `HTTPInputError` if the URL has a user name (RFC 9110 section 4.2.4).
    """
    url = _ABSOLUTE.fullmatch(target)
    if url is None:
        return target
    host, path = url.groups()
    if "@" in host:
        raise HTTPInputError("a user name in the target")
    if "Host" in headers:
        headers["Host"] = host
    return path if path.startswith("/") else f"/{path}"


def _read_framing(head: Head, by_name: dict[str, list[str]]) -> None:
    """Determine where the request ends, and whether it is the last one."""
    method, _, version = head.start_line
    codings = by_name.get("Transfer-Encoding")
    if codings is not None:
        if version == "HTTP/1.0":
            raise HTTPInputError("Transfer-Encoding in HTTP/1.0")
        # This raises for any value other than chunked.
        head.chunked = is_transfer_encoding_chunked(head.headers)
    lengths = by_name.get("Content-Length")
    if lengths is not None:
        if len(lengths) > 1 or not (lengths[0].isascii() and lengths[0].isdigit()):
            raise HTTPInputError("a Content-Length that is not a number, or several of them")
        head.length = int(lengths[0])
    if "Expect" in by_name:
        head.expects = by_name["Expect"][0].lower() == "100-continue" and version == "HTTP/1.1"
    options = by_name.get("Connection")
    if options is not None:
        named = {option.strip().lower() for value in options for option in value.split(",")}
        if version == "HTTP/1.1":
            head.keep_alive = "close" not in named
        elif "close" not in named and "keep-alive" in named:
            # An old client may end the body by closing the connection.
            head.keep_alive = lengths is not None or method in ("GET", "HEAD")

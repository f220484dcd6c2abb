"""The bytes of the head of an answer."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tornado.escape import native_str
from tornado.httputil import HTTPHeaders

__all__ = ["encode_head", "encode_ok"]

_LINE = re.compile(r"[\t -~\x80-\xff]*")


def encode_head(first_line: str, headers: HTTPHeaders) -> bytes:
    """The head of an answer. Raises `ValueError` for a CR or LF within a line."""
    lines = [first_line]
    try:
        lines += [name + ": " + value for name, value in headers.get_all()]
    except TypeError:
        # Tornado also accepts bytes.
        lines += [f"{native_str(name)}: {native_str(value)}" for name, value in headers.get_all()]
    text = "\r\n".join(lines)
    breaks = len(lines) - 1
    if text.count("\n") != breaks or text.count("\r") != breaks:
        bad = next(line for line in lines if "\n" in line or "\r" in line)
        raise ValueError(f"Illegal characters (CR or LF) in header: {bad!r}")
    return text.encode("latin-1") + b"\r\n\r\n"


def encode_ok(headers: Mapping[str, list[str]]) -> bytes | None:
    """The head of an answer with the status 200, without the empty line at its end. None if a line
    has characters other than printable Latin-1.
    """
    lines = [f"{name}: {value}" for name, values in headers.items() for value in values]
    if not all(map(_LINE.fullmatch, lines)):
        return None
    return "\r\n".join(["HTTP/1.1 200 OK", *lines, ""]).encode("latin-1")

"""The bytes of the head of an answer."""

from __future__ import annotations

from tornado.escape import native_str
from tornado.httputil import HTTPHeaders

__all__ = ["encode_head"]


def encode_head(first_line: str, headers: HTTPHeaders) -> bytes:
    """The head of an answer. Raises `ValueError` if one of its lines is more than one line."""
    lines = [first_line]
    try:
        lines += [name + ": " + value for name, value in headers.get_all()]
    except TypeError:
        # Tornado takes bytes, too.
        lines += [f"{native_str(name)}: {native_str(value)}" for name, value in headers.get_all()]
    text = "\r\n".join(lines)
    breaks = len(lines) - 1
    if text.count("\n") != breaks or text.count("\r") != breaks:
        bad = next(line for line in lines if "\n" in line or "\r" in line)
        raise ValueError(f"Illegal characters (CR or LF) in header: {bad!r}")
    return text.encode("latin-1") + b"\r\n\r\n"

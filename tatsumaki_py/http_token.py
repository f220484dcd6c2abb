"""Tokens of HTTP (RFC 9110 5.6.2): names of headers, and methods."""

from __future__ import annotations

import re

__all__ = ["check_header_name", "is_token"]

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def is_token(text: str) -> bool:
    """Whether `text` is a token."""
    return _TOKEN.fullmatch(text) is not None


def check_header_name(name: str) -> None:
    """Raise `ValueError` for a name that could not be sent, or would break out of its line."""
    if not is_token(name):
        raise ValueError(f"not a header name: {name!r}")

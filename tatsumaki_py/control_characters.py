"""Escapes control characters in text that a client sent, so that it is a single line in a log and
cannot send commands to a terminal.
"""

from __future__ import annotations

import re

__all__ = ["escape_controls"]

# The control characters of ASCII and of Latin-1, and the other characters that end a line.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def escape_controls(text: str) -> str:
    r"""`text` with control characters escaped.

    >>> print(escape_controls("a\r\nb\x9b"))
    a\x0d\x0ab\x9b
    """
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)

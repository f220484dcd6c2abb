"""The header Content-Type: its media type and its parameters.

Rule: media types and parameter names are case-insensitive. They are parsed only here, so that all
parts of the package agree on what a body is.
"""

from __future__ import annotations

__all__ = ["media_type", "parameter"]


def media_type(content_type: str) -> str:
    """The media type, in lower case and without parameters."""
    return content_type.partition(";")[0].strip().lower()


def parameter(content_type: str, name: str) -> str | None:
    """The value of a parameter, without quotes; None if it is missing or empty.

    >>> parameter('text/html; Charset="utf-8"', "charset")
    'utf-8'
    """
    for field in content_type.split(";")[1:]:
        key, _, value = field.partition("=")
        if key.strip().lower() == name:
            return value.strip().strip('"') or None
    return None

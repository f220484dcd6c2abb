"""The names of channels and clients."""

from __future__ import annotations

from tatsumaki_py.error import HTTPError

__all__ = ["checked_name"]

_MAX_NAME = 1024


def checked_name(kind: str, value: object) -> str:
    """`value`, if it is a valid name; an `int` is taken as its text.

    Raises `TypeError`, or 400 if it is too long.
    """
    if type(value) is int:
        value = str(value)
    if not isinstance(value, str):
        raise TypeError(f"{kind} is a str, not {type(value).__name__}")
    if len(value) > _MAX_NAME:
        raise HTTPError(400, f"{kind} is longer than {_MAX_NAME} characters")
    return value

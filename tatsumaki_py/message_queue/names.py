"""The names of channels and clients."""

from __future__ import annotations

import hashlib
import secrets

from tatsumaki_py.error import HTTPError

__all__ = ["Pseudonym", "checked_name"]

_MAX_NAME = 1024
_KEY = secrets.token_bytes(16)


class Pseudonym:
    """A client's name as log lines show it: 8 hexadecimal digits, the same for a name while the
    process lives. With the real name, a reader of the lines could take over the client's place.
    """

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __str__(self) -> str:
        name = self._name.encode("utf-8", "surrogatepass")
        return hashlib.blake2s(name, key=_KEY, digest_size=4).hexdigest()


def checked_name(kind: str, value: object) -> str:
    """`value`, if it is a valid name; an `int` is converted to a `str`.

    Raises `TypeError` if `value` is neither a `str` nor an `int`, or 400 if it is too long.
    """
    if type(value) is int:
        value = str(value)
    if not isinstance(value, str):
        raise TypeError(f"{kind} must be a str, not {type(value).__name__}")
    if len(value) > _MAX_NAME:
        raise HTTPError(400, f"{kind} is longer than {_MAX_NAME} characters")
    return value

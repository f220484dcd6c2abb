"""The body of a request."""

from __future__ import annotations

from typing import Protocol

from tornado.httputil import HTTPInputError

from tatsumaki_py.http1.chunks import Chunks
from tatsumaki_py.http1.head import Head

__all__ = ["Body", "body_of"]


class Body(Protocol):
    """Reads one body."""

    @property
    def done(self) -> bool:
        """Whether the body is complete."""

    @property
    def slow(self) -> bool:
        """Whether reading a few bytes of the body may take long."""

    def read(self, data: bytes, limit: int) -> tuple[bytes, int]:
        """Read `data`, which begins where the last call stopped.

        Returns up to `limit` bytes of the body, and how many bytes of `data` were used for them: 0
        if more data is needed.

        Raises `HTTPInputError` if the body is malformed or too large.
        """


def body_of(head: Head, max_size: int) -> Body | None:
    """The body after `head`; None if there is none.

    Raises `HTTPInputError` if it has more than `max_size` bytes.
    """
    if head.chunked:
        return Chunks(max_size)
    if head.length > max_size:
        raise HTTPInputError("Content-Length too long")
    return _Counted(head.length) if head.length else None


class _Counted:
    """A body with a Content-Length."""

    __slots__ = ("_left",)

    slow = False

    def __init__(self, length: int) -> None:
        self._left = length

    @property
    def done(self) -> bool:
        return not self._left

    def read(self, data: bytes, limit: int) -> tuple[bytes, int]:
        part = data[: min(self._left, limit)]
        self._left -= len(part)
        return part, len(part)

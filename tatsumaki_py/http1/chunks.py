"""A chunked body (RFC 9112 section 7.1).

Rules:
1. llhttp and this file both have to see each line, each chunk and the end of the body at the same
   place.
2. Chunk extensions and trailers are checked and dropped, and their number of bytes is limited.
"""

from __future__ import annotations

from enum import Enum, auto

from httptools import HttpParserError, HttpRequestParser
from tornado.httputil import HTTPInputError

__all__ = ["Chunks"]

_HEAD = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"

MAX_LINE = 4096
"""Bytes of one line."""
MAX_EXTRA = 16384
"""Bytes of all extensions and trailers of a body."""
MAX_LINES = 256
"""Lines that are read in one call, so that it does not take long."""


class _Line(Enum):
    """What the next line is."""

    SIZE = auto()
    DATA_END = auto()
    TRAILER = auto()


class _End:
    """What llhttp calls."""

    __slots__ = ("reached",)

    def __init__(self) -> None:
        self.reached = False

    def on_message_complete(self) -> None:
        self.reached = True


class Chunks:
    """Reads one body."""

    __slots__ = ("_end", "_extra", "_left", "_line", "_parser")

    def __init__(self) -> None:
        self._end = _End()
        self._parser = HttpRequestParser(self._end)
        self._parser.feed_data(_HEAD)
        self._left = 0
        self._extra = 0
        self._line = _Line.SIZE

    @property
    def done(self) -> bool:
        """Whether the body is complete."""
        return self._end.reached

    def read(self, data: bytes, limit: int) -> tuple[bytes, int]:
        """Read `data`, which begins where the last call has stopped, up to `limit` bytes of body.

        Returns a part of the body, and how many bytes of `data` it took. There may be more to read
        even if `data` is complete lines. 0 bytes were taken if the next line is not complete.

        Raises `HTTPInputError` if the body is malformed.
        """
        parts: list[bytes] = []
        at = lines = 0
        while lines < MAX_LINES and limit and not self.done:
            if self._left:
                part = data[at : at + min(self._left, limit)]
                if not part:
                    break
                self._feed(part, last=False)
                parts.append(part)
                self._left -= len(part)
                limit -= len(part)
                at += len(part)
                continue
            end = data.find(b"\r\n", at)
            if end < 0 or end - at > MAX_LINE:
                if len(data) - at > MAX_LINE:
                    raise HTTPInputError("a line of a chunked body is too long")
                break
            line = data[at:end]
            last = self._line is _Line.TRAILER and not line
            self._feed(data[at : end + 2], last)
            self._take(line)
            at = end + 2
            lines += 1
        return b"".join(parts), at

    def _feed(self, data: bytes, last: bool) -> None:
        try:
            self._parser.feed_data(data)
        except HttpParserError as error:
            raise HTTPInputError(f"malformed chunked body: {error}") from None
        if self.done is not last:
            raise HTTPInputError("malformed chunked body")

    def _take(self, line: bytes) -> None:
        if self._line is _Line.TRAILER:
            self._count(len(line))
        elif self._line is _Line.DATA_END:
            if line:
                raise HTTPInputError("a chunk is longer than its size")
            self._line = _Line.SIZE
        else:
            digits, _, extension = line.partition(b";")
            self._count(len(extension))
            try:
                # llhttp has taken it: it has no sign, no prefix and no "_".
                self._left = int(digits.strip(b" \t"), 16)
            except ValueError:
                raise HTTPInputError("malformed chunked body") from None
            self._line = _Line.DATA_END if self._left else _Line.TRAILER

    def _count(self, extra: int) -> None:
        self._extra += extra
        if self._extra > MAX_EXTRA:
            raise HTTPInputError("too many chunk extensions or trailers")

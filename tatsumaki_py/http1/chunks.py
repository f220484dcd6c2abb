"""A chunked body (RFC 9112 section 7.1).

Rules:
1. llhttp and this file must agree on where each line, each chunk and the body end.
2. Chunk extensions and trailers are checked and dropped, and their number of bytes is limited.
"""

from __future__ import annotations

from enum import Enum

from httptools import HttpParserError, HttpRequestParser
from tornado.httputil import HTTPInputError

__all__ = ["Chunks"]

_HEAD = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"

MAX_LINE = 4096
"""Maximum bytes of one line."""
MAX_EXTRA = 16384
"""Maximum bytes of all extensions and trailers of a body."""
MAX_LINES = 256
"""Maximum number of lines that one call reads, so that no call takes long."""


class _Line(Enum):
    """The kind of the next line. The value is the error if the line is malformed."""

    SIZE = "invalid chunk size"
    DATA_END = "improperly terminated chunk"
    TRAILER = "improperly terminated chunked request"


class _End:
    """The callbacks of llhttp."""

    __slots__ = ("reached",)

    def __init__(self) -> None:
        self.reached = False

    def on_message_complete(self) -> None:
        self.reached = True


class Chunks:
    """Reads one body; see `tatsumaki_py.http1.body.Body`."""

    __slots__ = ("_end", "_extra", "_left", "_line", "_parser", "_room")

    slow = True

    def __init__(self, max_size: int) -> None:
        self._end = _End()
        self._parser = HttpRequestParser(self._end)
        self._parser.feed_data(_HEAD)
        # The remaining bytes of the current chunk, and the remaining limit for all chunks.
        self._left = 0
        self._room = max_size
        self._extra = 0
        self._line = _Line.SIZE

    @property
    def done(self) -> bool:
        return self._end.reached

    def read(self, data: bytes, limit: int) -> tuple[bytes, int]:
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
            if self._line is _Line.DATA_END and not b"\r\n".startswith(data[at : at + 2]):
                raise HTTPInputError(_Line.DATA_END.value)
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
            raise HTTPInputError(f"{self._line.value}: {error}") from None
        if self.done is not last:
            raise HTTPInputError(self._line.value)

    def _take(self, line: bytes) -> None:
        if self._line is _Line.TRAILER:
            self._count(len(line))
        elif self._line is _Line.DATA_END:
            if line:
                raise HTTPInputError(_Line.DATA_END.value)
            self._line = _Line.SIZE
        else:
            digits, _, extension = line.partition(b";")
            self._count(len(extension))
            try:
                # llhttp has accepted it, so it has no sign, no prefix and no "_".
                self._left = int(digits, 16)
            except ValueError:
                raise HTTPInputError(_Line.SIZE.value) from None
            self._room -= self._left
            if self._room < 0:
                raise HTTPInputError("chunked body too large")
            self._line = _Line.DATA_END if self._left else _Line.TRAILER

    def _count(self, extra: int) -> None:
        self._extra += extra
        if self._extra > MAX_EXTRA:
            raise HTTPInputError("too many chunk extensions or trailers")

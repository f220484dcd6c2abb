"""One request and its answer: the connection that Tornado's handlers see.

Rules:
1. After an exchange is finished, its handler cannot reach the connection, which may already carry
   the answer to another request.
2. An answer has exactly as many bytes as its Content-Length says; otherwise the connection is
   closed.

Source: `tornado.http1connection.HTTP1Connection`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tornado.http1connection import parse_int
from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPOutputError,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.iostream import IOStream

from tatsumaki_py.answer_head import encode_head
from tatsumaki_py.http1.client_address import ClientAddress
from tatsumaki_py.http1.head import Head
from tatsumaki_py.http1.line import Line
from tatsumaki_py.http1.outgoing import failed
from tatsumaki_py.http1.stream_view import StreamView
from tatsumaki_py.push.client_connection import ClientConnection
from tatsumaki_py.push.framing import Framing
from tatsumaki_py.push.owner import Owner
from tatsumaki_py.push.stream import Stream

__all__ = ["Exchange"]


class Exchange(HTTPConnection, ClientConnection):
    """The `connection` of a request."""

    __slots__ = (
        "_chunking",
        "_line",
        "_remaining",
        "body_timeout",
        "close_callback",
        "code",
        "finished",
        "head",
        "last",
        "max_body_size",
        "read_finished",
    )

    def __init__(
        self, line: Line, head: Head, max_body_size: int, body_timeout: float | None
    ) -> None:
        self._line = line
        self.head = head
        self.max_body_size = max_body_size
        self.body_timeout = body_timeout
        self.last = not head.keep_alive
        """Whether the connection is closed after the answer."""
        self.read_finished = False
        """Whether the body has been read."""
        self.finished = False
        """Whether the handler has written the whole answer."""
        self.close_callback: Callable[[], None] | None = None
        self.code = 0
        """The status, once the headers are written."""
        self._chunking = False
        # Bytes of the body still to be written; None if unknown.
        self._remaining: int | None = None

    @property
    def context(self) -> ClientAddress:
        """See `tornado.http1connection.HTTP1Connection`."""
        return self._line.address

    @property
    def stream(self) -> StreamView:
        """See `tornado.http1connection.HTTP1Connection`."""
        return StreamView(self._line, self.set_close_callback)

    def set_close_callback(self, callback: Callable[[], None] | None) -> None:
        """See `tornado.http1connection.HTTP1Connection.set_close_callback`."""
        self.close_callback = callback

    def set_body_timeout(self, timeout: float) -> None:
        """See `tornado.http1connection.HTTP1Connection.set_body_timeout`."""
        self.body_timeout = timeout

    def set_max_body_size(self, max_body_size: int) -> None:
        """See `tornado.http1connection.HTTP1Connection.set_max_body_size`."""
        self.max_body_size = max_body_size

    # -- the answer

    def write_headers(
        self,
        start_line: RequestStartLine | ResponseStartLine,
        headers: HTTPHeaders,
        chunk: bytes | None = None,
    ) -> asyncio.Future[None]:
        """See `tornado.httputil.HTTPConnection.write_headers`."""
        assert isinstance(start_line, ResponseStartLine)
        method, _, version = self.head.start_line
        code = self.code = start_line.code
        asked = "Connection" in headers and headers["Connection"].lower() == "close"
        # The next request cannot be found after a body that may never come.
        unclear = self.head.expects and not self.read_finished
        if asked or unclear or (self._line.last and code != 101):
            self.last = True
        has_length = "Content-Length" in headers
        endless = not (has_length or method == "HEAD" or code in (204, 304) or code < 200)
        if version == "HTTP/1.1":
            if self.last:
                headers["Connection"] = "close"
            if endless:
                self._chunking = True
                headers["Transfer-Encoding"] = "chunked"
        elif endless:
            # Only the end of the connection marks the end of the answer.
            self.last = True
        elif not self.last:
            headers["Connection"] = "Keep-Alive"
        if method == "HEAD" or code in (204, 304):
            # The client would take further bytes for the next answer.
            self._remaining = 0
        elif has_length:
            # Raises `ValueError` for "+1" and "1_0", which `int` accepts.
            self._remaining = parse_int(headers["Content-Length"])
        data = encode_head(f"HTTP/1.1 {code} {start_line.reason}", headers)
        if chunk:
            data += self._frame(chunk)
        return self._write(data)

    def send_head(self, data: bytes) -> bool:
        """Send `data`, the head of a chunked answer of HTTP/1.1 with status 200 and ``Connection:
        close``, and perhaps the first chunks.

        Returns False, and does nothing, if this request needs a different head.
        """
        method, _, version = self.head.start_line
        if self.code or self.finished or version != "HTTP/1.1" or method == "HEAD":
            return False
        self.code, self.last, self._chunking = 200, True, True
        self._line.write(data)
        return True

    def send_whole(self, data: bytes) -> bool:
        """Send `data`, a whole HTTP/1.1 answer with a Content-Length, unchanged, and finish.

        Returns False, and does nothing, if this request needs a different answer, for example
        because the connection will be closed, the request is a HEAD, or something has already been
        written.
        """
        own = self.last or self._line.last or self.code or self.finished
        if own or self.head.start_line.version != "HTTP/1.1" or not self.read_finished:
            return False
        if self.head.start_line.method == "HEAD":
            return False
        self.code = 200
        self._line.write(data)
        self.finish()
        return True

    def write(self, chunk: bytes) -> asyncio.Future[None]:
        """See `tornado.httputil.HTTPConnection.write`."""
        return self._write(self._frame(chunk))

    def _write(self, data: bytes) -> asyncio.Future[None]:
        return failed() if self.finished else self._line.write(data)

    def _frame(self, chunk: bytes) -> bytes:
        if self._remaining is not None:
            self._remaining -= len(chunk)
            if self._remaining < 0 and not self.closed():
                self.close()
                raise HTTPOutputError("Tried to write more data than Content-Length")
        # An empty chunk would end the body.
        return b"%x\r\n%b\r\n" % (len(chunk), chunk) if self._chunking and chunk else chunk

    def finish(self) -> None:
        """See `tornado.httputil.HTTPConnection.finish`."""
        if self.finished:
            return
        if self._remaining and not self.closed():
            self.close()
            raise HTTPOutputError(
                f"Tried to write {self._remaining} bytes less than Content-Length"
            )
        if self._chunking:
            self._line.write(b"0\r\n\r\n")
        self.finished = True
        if not self.read_finished:
            # Closing is the only way to avoid reading the whole body.
            self.last = True
        self._line.answered(self)

    def close(self) -> None:
        """See `tornado.http1connection.HTTP1Connection.close`."""
        if not self.finished:
            self.close_callback = None
            self._line.close()

    def client_left(self) -> None:
        """Notify the handler if its answer is incomplete."""
        callback, self.close_callback = self.close_callback, None
        if callback is not None and not self.finished:
            callback()

    def detach(self) -> IOStream:
        """See `tornado.http1connection.HTTP1Connection.detach`."""
        self.close_callback = None
        return self._line.detach(self)

    # -- as a `ClientConnection`

    def closed(self) -> bool:
        return self._line.closed()

    def hung_up(self) -> bool:
        return self._line.hung_up()

    def was_reset(self) -> bool:
        return self._line.was_reset()

    def waits(self) -> None:
        """See `ClientConnection.waits`."""
        self._line.waits()

    def answers(self) -> None:
        """Does nothing."""

    def when_sent(self, callback: Callable[[bool], None]) -> bool:
        return self._line.when_sent(callback)

    def take_over(self, framing: Framing, max_buffer: int, owner: Owner) -> Stream:
        self.close_callback = None
        return self._line.take_over(framing, max_buffer, owner)

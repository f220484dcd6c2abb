"""Reads the heads of requests strictly and with a time limit, for a `Server` on Tornado's HTTP
code.

Rules:
1. A request whose end two parsers could see in different places is refused with 400, and its
   connection is closed. Such a request has a bare CR or LF, two lengths, or a length and chunks
   (RFC 9112 sections 2.2, 6.1 and 6.3). Tornado accepts some of these.
2. A client has `HEAD_TIMEOUT` seconds for a head, counted from its first byte, and for a TLS
   handshake.
3. When the server stops, it keeps no connection open: its next answer on each one is the last.
4. A request pipelined behind the last answer of a connection is not executed (RFC 9112 section
   9.6), because it would have an effect but no answer.
5. A connection that is closed or detached refers to no request, so that no reference cycle is left.

Uses undocumented names of Tornado: `_chunking_output`, `_close_callback`, `_disconnect_on_finish`,
`_expected_content_remaining`, `_format_chunk`, `_on_write_complete`, `_parse_headers`,
`_pending_write`, `_read_buffer_size`, `_request_headers`, `_request_start_line`,
`_response_start_line`, `_server_request_loop`, `_write_future`
(``t/handler/test_tornado_contract.py``, ``t/handler/test_shortcuts.py``).
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable
from typing import Any

from tornado.concurrent import future_add_done_callback
from tornado.http1connection import HTTP1Connection, HTTP1ServerConnection, parse_int
from tornado.httputil import (
    HTTPHeaders,
    HTTPInputError,
    HTTPServerConnectionDelegate,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.iostream import IOStream, SSLIOStream, StreamClosedError, UnsatisfiableReadError
from tornado.log import gen_log
from tornado.netutil import ssl_options_to_context

from tatsumaki_py.answer_head import encode_head
from tatsumaki_py.iostream import ForgettingStream

__all__ = ["HeadStream", "StrictConnection", "StrictServing", "TLSHeadStream", "tls_context"]

_log = logging.getLogger("tatsumaki")

HEAD_TIMEOUT = 60.0
"""Seconds; the same limit as for a body (`tatsumaki_py.server.LIMITS`)."""


class HeadStream(ForgettingStream):
    """A connection that closes itself if a head is not complete in time."""

    # Use slots in addition to Tornado's dict: with one more name in it, CPython would give each
    # connection its own dict of 1.4 KB.
    __slots__ = ("_answered", "_awaits_head", "_head_timer", "connection")

    _head_timer: asyncio.TimerHandle | None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._answered = False
        self._awaits_head = False
        self._head_timer = None
        self.connection: StrictConnection | None = None
        """The object that reads the current request and writes its answer."""
        super().__init__(*args, **kwargs)

    @property
    def idle(self) -> bool:
        """Whether no byte of the next request has arrived."""
        return self._awaits_head and self._head_timer is None

    @property
    def handler(self) -> object:
        """The handler whose answer is not complete. None while the request is read."""
        return None if self.connection is None else self.connection.handler

    def await_head(self, connection: StrictConnection) -> None:
        """The next bytes are the head of a request, which `connection` will read."""
        # After the last answer, Tornado asks for one more head, even if the connection is closed.
        self.connection = None if self.closed() else connection
        self._awaits_head = True
        if self._read_buffer_size and not self._answered:
            # The head, or a part of it, arrived together with the previous request.
            self._start()

    def head_ended(self) -> None:
        """The head is complete, or the connection closes without one."""
        self._awaits_head = False
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def read_until_regex(self, regex: bytes, max_bytes: int | None = None) -> Awaitable[bytes]:
        """See `tornado.iostream.BaseIOStream.read_until_regex`. Tornado reads heads with it, even a
        head that arrived before the connection was closed.
        """
        if self._answered:
            raise StreamClosedError
        return super().read_until_regex(regex, max_bytes)

    def answered(self) -> None:
        """The last answer was sent: read no more requests."""
        self._answered = True

    def _start(self) -> None:
        if self._head_timer is None:
            self._head_timer = asyncio.get_running_loop().call_later(HEAD_TIMEOUT, self.close)

    def read_from_fd(self, buf: bytearray | memoryview) -> int | None:
        """See `tornado.iostream.BaseIOStream.read_from_fd`."""
        size = super().read_from_fd(buf)
        if size and self._awaits_head:
            if bytes(buf[size - 4 : size]) == b"\r\n\r\n":
                # The whole head nearly always arrives in one piece, and needs no timer.
                self.head_ended()
            else:
                self._start()
        return size

    def close(self, exc_info: Any = False) -> None:
        """See `tornado.iostream.BaseIOStream.close`."""
        self.head_ended()
        self.connection = None
        super().close(exc_info)


class TLSHeadStream(HeadStream, SSLIOStream):
    """A `HeadStream` with TLS."""

    __slots__ = ()

    def limit_handshake(self) -> None:
        """Close the connection if the handshake does not end in time."""
        timer = asyncio.get_running_loop().call_later(HEAD_TIMEOUT, self.close)

        def over(handshake: asyncio.Future[SSLIOStream]) -> None:
            timer.cancel()
            # Nothing else to do: a failed handshake was logged, and the connection was closed.
            handshake.exception()

        self.wait_for_handshake().add_done_callback(over)


class _TLSSocket(ssl.SSLSocket):
    """A socket whose failed handshake is logged at level DEBUG; Tornado logs a warning."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            _log.debug("a TLS handshake failed: %s", str(error))
            # Raise the one error for which Tornado closes the connection without logging.
            raise ssl.SSLEOFError(ssl.SSL_ERROR_EOF, str(error)) from None


def tls_context(ssl_options: dict[str, Any] | ssl.SSLContext) -> ssl.SSLContext:
    """The TLS context of a server. Its connections log failed handshakes at level DEBUG."""
    context = ssl_options_to_context(ssl_options, server_side=True)
    context.sslsocket_class = _TLSSocket
    return context


class StrictConnection(HTTP1Connection):
    """Accepts a request only if its end is clear."""

    @property
    def handler(self) -> object:
        """The handler whose answer is not complete. None while the request is read, and while the
        last bytes of the answer are being sent.
        """
        return getattr(self._close_callback, "__self__", None)

    def write_headers(
        self,
        start_line: RequestStartLine | ResponseStartLine,
        headers: HTTPHeaders,
        chunk: bytes | None = None,
    ) -> asyncio.Future[None]:
        """Like Tornado's own method for answers, but checks all lines for CR and LF in one pass."""
        request, asked = self._request_start_line, self._request_headers
        assert isinstance(start_line, ResponseStartLine)
        assert request is not None
        assert asked is not None
        code = start_line.code
        if self.params.no_keep_alive:
            # Not for a WebSocket handshake, which needs a different header Connection.
            last = self._disconnect_on_finish = code != 101
            if last:
                # Otherwise Tornado would answer "Keep-Alive" to HTTP/1.0 clients that ask for it.
                asked.pop("Connection", None)
        self._response_start_line = start_line
        has_length = "Content-Length" in headers
        bodiless = request.method == "HEAD" or code in (204, 304) or 100 <= code < 200
        self._chunking_output = False
        if request.version == "HTTP/1.1":
            self._chunking_output = not (has_length or bodiless)
            if self._disconnect_on_finish:
                headers["Connection"] = "close"
        elif "Connection" in asked and asked["Connection"].lower() == "keep-alive":
            headers["Connection"] = "Keep-Alive"
        if self._chunking_output:
            headers["Transfer-Encoding"] = "chunked"
        if request.method == "HEAD" or code == 304:
            self._expected_content_remaining = 0
        else:
            length = parse_int(headers["Content-Length"]) if has_length else None
            self._expected_content_remaining = length
        data = encode_head(f"HTTP/1.1 {code} {start_line.reason}", headers)
        # Write to the stream directly: `write` would frame these bytes as part of the body.
        written = self._write_future = asyncio.Future()
        if self.stream.closed():
            written.set_exception(StreamClosedError())
            written.exception()
            return written
        self._pending_write = self.stream.write(data + self._format_chunk(chunk) if chunk else data)
        future_add_done_callback(self._pending_write, self._on_write_complete)
        return written

    def close(self) -> None:
        """See `tornado.http1connection.HTTP1Connection.close`. Tornado calls it after the last
        answer.
        """
        if isinstance(self.stream, HeadStream):
            self.stream.answered()
        super().close()

    def detach(self) -> IOStream:
        """See `tornado.http1connection.HTTP1Connection.detach`."""
        stream = super().detach()
        if isinstance(stream, HeadStream):
            stream.connection = None
        return stream

    def _parse_headers(self, data: bytes) -> tuple[str, HTTPHeaders]:
        if isinstance(self.stream, HeadStream):
            self.stream.head_ended()
        lines = data.replace(b"\r\n", b"")
        if b"\n" in lines or b"\r" in lines:
            raise HTTPInputError("bare CR or LF in the head of a request")
        start_line, headers = super()._parse_headers(data)
        lengths = headers.get_list("Content-Length")
        if len(lengths) > 1 or (lengths and "," in lengths[0]):
            raise HTTPInputError("more than one Content-Length")
        if "Transfer-Encoding" in headers and (lengths or start_line.endswith("HTTP/1.0")):
            raise HTTPInputError("Transfer-Encoding with a Content-Length, or in HTTP/1.0")
        return start_line, headers


class StrictServing(HTTP1ServerConnection):
    """Reads the requests of one connection, each by a `StrictConnection`."""

    async def _server_request_loop(self, delegate: HTTPServerConnectionDelegate) -> None:
        # This copies Tornado's method, which creates connections of Tornado's class. Changing the
        # class of each connection afterwards would give it a separate dict and slow down each use.
        try:
            while True:
                connection = StrictConnection(self.stream, False, self.params, self.context)
                try:
                    kept = await connection.read_response(delegate.start_request(self, connection))
                except (StreamClosedError, UnsatisfiableReadError, asyncio.CancelledError):
                    return
                except Exception:
                    gen_log.error("Uncaught exception", exc_info=True)
                    connection.close()
                    return
                if not kept:
                    return
                if self.stream._read_buffer_size:
                    # Give the loop a turn: a client that pipelines requests must not block it.
                    await asyncio.sleep(0)
        finally:
            delegate.on_close(self)

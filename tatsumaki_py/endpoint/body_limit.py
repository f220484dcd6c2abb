"""Refuses a body that is too large for its handler, before the body is in memory.

Tornado holds all of a body before the handler sees it, up to the limit of the server, which is the
same for all handlers.

Rules:
1. A request without a body, or with one that fits, goes to Tornado's delegate and costs nothing.
2. The handler itself answers, so that the answer has its headers, its form and its line in the log.
3. The rest of the body is read and dropped before the request is over: a connection that is closed
   while its client still sends is reset, and the client may lose the answer.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Awaitable, Callable

from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerRequest,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.web import RequestHandler

from tatsumaki_py.error import HTTPError

__all__ = ["limited"]

# Digits of a length that a body may have; more would take their time to read.
_MAX_DIGITS = 18


def limited(
    delegate: HTTPMessageDelegate,
    request: HTTPServerRequest,
    limit: int | None,
    handler: Callable[[], RequestHandler],
) -> HTTPMessageDelegate:
    """`delegate`, or one that refuses bodies of more than `limit` bytes in its place.

    Args:
        handler: makes a handler to answer with.
    """
    if limit is None or getattr(delegate, "stream_request_body", False):
        # A handler that reads its body itself knows what it takes.
        return delegate
    # Tornado takes a length that is said twice.
    length = request.headers.get("Content-Length", "").partition(",")[0].strip()
    if length.isdecimal() and (len(length) > _MAX_DIGITS or int(length) > limit):
        return _Refusing(request, limit, handler)
    # Tornado has unpacked a body that was compressed, and says so (`decompress_request`).
    if {"Transfer-Encoding", "X-Consumed-Content-Encoding"} & set(request.headers):
        return _Counting(request, limit, handler, delegate)
    return delegate


class _Unfinished(HTTPConnection):
    """The connection of a request that is answered before its body has come. What is written goes
    out at once; the end is left to the delegate.
    """

    def __init__(self, connection: HTTPConnection) -> None:
        self._connection = connection

    def write_headers(
        self,
        start_line: RequestStartLine | ResponseStartLine,
        headers: HTTPHeaders,
        chunk: bytes | None = None,
    ) -> Future[None]:
        return self._connection.write_headers(start_line, headers, chunk)

    def write(self, chunk: bytes) -> Future[None]:
        return self._connection.write(chunk)

    def finish(self) -> None:
        pass

    def set_close_callback(self, callback: Callable[[], None] | None) -> None:
        # Nobody waits for this client.
        pass


class _Refusing(HTTPMessageDelegate):
    """Answers with 413 at once."""

    def __init__(
        self, request: HTTPServerRequest, limit: int, handler: Callable[[], RequestHandler]
    ) -> None:
        self._request = request
        self._limit = limit
        self._handler = handler
        self._connection: HTTPConnection | None = None

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        self._refuse()
        return None

    def finish(self) -> None:
        if self._connection is not None:
            self._connection.finish()

    def _refuse(self) -> None:
        self._connection = connection = self._request.connection
        assert connection is not None
        self._request.connection = _Unfinished(connection)
        handler = self._handler()
        error = HTTPError(413, f"more than {self._limit} bytes in one request")
        handler.send_error(413, exc_info=(HTTPError, error, None))


class _Counting(_Refusing):
    """Answers with 413 when too much has come of a body whose length is not known."""

    def __init__(
        self,
        request: HTTPServerRequest,
        limit: int,
        handler: Callable[[], RequestHandler],
        delegate: HTTPMessageDelegate,
    ) -> None:
        super().__init__(request, limit, handler)
        self._delegate = delegate
        self._size = 0

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        return self._delegate.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        self._size += len(chunk)
        if self._connection is not None:
            return None
        if self._size <= self._limit:
            return self._delegate.data_received(chunk)
        # It lets go of what has come.
        self._delegate.on_connection_close()
        self._refuse()
        return None

    def finish(self) -> None:
        if self._connection is None:
            self._delegate.finish()
        else:
            super().finish()

    def on_connection_close(self) -> None:
        self._delegate.on_connection_close()

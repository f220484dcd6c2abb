"""Refuses a body that is too large for its handler before the body is in memory.

Tornado reads the whole body into memory before it calls the handler, and has only one limit for the
whole server.

Rules:
1. A request without a body, or with a body that fits, goes to Tornado's delegate and costs nothing.
2. The handler itself answers, so the error has the handler's headers and format, and a line in the
   access log.
3. If the handler has no method for the request, no code reads the body, so the limit is small.
4. The rest of the body is read and dropped before the request ends. Closing the connection while
   the client still sends would reset it, and the client could lose the answer.

Uses one undocumented name of Tornado: `_transforms` (``t/handler/test_tornado_contract.py``).
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

__all__ = ["UNREAD_SIZE", "limited"]

UNREAD_SIZE = 4096
"""Bytes that a body may have if no method of the handler reads it."""

# The most digits of a Content-Length that are parsed, because parsing a very long number is slow.
_MAX_DIGITS = 18


def limited(
    delegate: HTTPMessageDelegate,
    request: HTTPServerRequest,
    kind: type[RequestHandler],
    handler: Callable[[], RequestHandler],
) -> HTTPMessageDelegate:
    """`delegate`, or a replacement that refuses a body that is too large.

    Args:
        kind: the class of the handler.
        handler: makes a handler to answer with.
    """
    # Tornado sets the second header when it decompresses a body (`decompress_request`).
    headers = request.headers
    unknown = "Transfer-Encoding" in headers or "X-Consumed-Content-Encoding" in headers
    if "Content-Length" not in headers and not unknown:
        return delegate
    length = headers.get("Content-Length")
    if getattr(delegate, "stream_request_body", False):
        # A handler that reads its body itself sets its own limit.
        return delegate
    limit: int | None = getattr(kind, "max_body_size", None)
    error = HTTPError(413, f"more than {limit} bytes in one request")
    if limit is None and not _takes(kind, request.method):
        limit, error = UNREAD_SIZE, HTTPError(405)
    if limit is None:
        return delegate
    if length is not None and _is_more(length, limit):
        return _Refusing(request, error, handler)
    return _Counting(request, error, handler, delegate, limit) if unknown else delegate


def _is_more(length: str, limit: int) -> bool:
    """Whether a Content-Length is more than `limit`. An invalid one is left to Tornado."""
    # Tornado accepts a repeated length, such as "5, 5".
    digits = length.partition(",")[0].strip()
    return digits.isdecimal() and (len(digits) > _MAX_DIGITS or int(digits) > limit)


def _takes(kind: type[RequestHandler], method: str | None) -> bool:
    """Whether a handler of this class may read the body of a request with this method."""
    if kind.prepare is not RequestHandler.prepare:
        return True
    # In Tornado, all methods that a class does not define are the same function, which answers 405.
    missing = RequestHandler.get
    return (
        method in kind.SUPPORTED_METHODS and getattr(kind, method.lower(), missing) is not missing
    )


class _Unfinished(HTTPConnection):
    """The connection of a request that is answered before its body has arrived. The answer is
    written immediately, but `finish` is left to the delegate, which calls it when the body has
    arrived.
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
        # Nothing to do: no handler waits for this client.
        pass


class _Refusing(HTTPMessageDelegate):
    """Answers with an error immediately."""

    def __init__(
        self, request: HTTPServerRequest, error: HTTPError, handler: Callable[[], RequestHandler]
    ) -> None:
        self._request = request
        self._error = error
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
        # Tornado sets the transforms just before it calls the method, which is not called here.
        handler._transforms = []
        error = self._error
        handler.send_error(error.code, exc_info=(HTTPError, error, None))


class _Counting(_Refusing):
    """Answers with an error as soon as a body of unknown length exceeds the limit."""

    def __init__(
        self,
        request: HTTPServerRequest,
        error: HTTPError,
        handler: Callable[[], RequestHandler],
        delegate: HTTPMessageDelegate,
        limit: int,
    ) -> None:
        super().__init__(request, error, handler)
        self._delegate = delegate
        self._limit = limit
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
        # The delegate can now free the part of the body that has arrived.
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

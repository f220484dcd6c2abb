"""Refuses a body that is too large for its handler, before the body is in memory.

Tornado reads the whole body into memory before it calls the handler. Its limit is that of the
server, the same for all handlers.

Rules:
1. A request without a body, or with a body that fits, goes to Tornado's delegate and costs nothing.
2. The handler itself answers, so the error has the handler's headers, its form and its line in the
   log.
3. Where the handler has no method for the request, nothing reads the body, and the limit is small.
4. The rest of the body is read and dropped before the request is over. If the connection were
   closed while the client still sends, it would be reset, and the client could lose the answer.

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

# Digits that a Content-Length may have: a number of many more is slow to parse.
_MAX_DIGITS = 18


def limited(
    delegate: HTTPMessageDelegate,
    request: HTTPServerRequest,
    kind: type[RequestHandler],
    handler: Callable[[], RequestHandler],
) -> HTTPMessageDelegate:
    """`delegate`, or one that refuses a body in its place.

    Args:
        kind: the class of the handler.
        handler: makes a handler to answer with.
    """
    # The second header is Tornado's, on a body that it decompresses (`decompress_request`).
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
    # Tornado accepts a length that is repeated.
    digits = length.partition(",")[0].strip()
    return digits.isdecimal() and (len(digits) > _MAX_DIGITS or int(digits) > limit)


def _takes(kind: type[RequestHandler], method: str | None) -> bool:
    """Whether a handler of this class may read the body of a request with this method."""
    if kind.prepare is not RequestHandler.prepare:
        return True
    # All methods that a class does not define are one function: Tornado's own refusal.
    missing = RequestHandler.get
    return (
        method in kind.SUPPORTED_METHODS and getattr(kind, method.lower(), missing) is not missing
    )


class _Unfinished(HTTPConnection):
    """The connection of a request that is answered before its body has arrived. Writes go out at
    once; the delegate ends the answer.
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
        # No handler waits for this client.
        pass


class _Refusing(HTTPMessageDelegate):
    """Answers with an error at once."""

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
        # Tornado sets the transforms only just before it calls the method.
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
        # The delegate frees the part that has arrived.
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

"""Writes an answer and finishes it, whether or not it is a stream.

Rules:
1. The answer is over when `_finished` is true: after `finish`, after an error, or after the client
   has left. By then, `on_finish` has been called, and the line in the access log is written.
2. While a stream is open, `_live` is its `Stream`, and the request has no connection: no method of
   `RequestHandler` that writes is called.

Uses names that Tornado does not document: `_auto_finish`, `_finished`,
`_transforms` (``t/handler/test_tornado_contract.py``).
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Awaitable
from functools import partial
from types import TracebackType
from typing import Any

import tornado.web
from tornado.httputil import HTTPServerRequest
from tornado.iostream import StreamClosedError

from tatsumaki_py.body_encoding import reframes
from tatsumaki_py.done import done_future
from tatsumaki_py.error import ClientDisconnect
from tatsumaki_py.message_queue import peer
from tatsumaki_py.push.framing import Option
from tatsumaki_py.push.stream_handler import StreamHandler
from tatsumaki_py.push.tornado_connection import client_connection
from tatsumaki_py.request import Request

__all__ = ["AnswerHandler"]


class AnswerHandler(StreamHandler):
    """`write`, `flush`, `finish`, `redirect` and errors of a `Handler`."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "nonblocking" in cls.__dict__:
            cls.asynchronous = cls.nonblocking
        elif "asynchronous" in cls.__dict__:
            cls.nonblocking = cls.asynchronous

    def __init__(
        self, application: tornado.web.Application, request: HTTPServerRequest, **kwargs: Any
    ) -> None:
        Request.adopt(request)
        # Set here all attributes that a request may need, and at most 30, so that CPython shares
        # their names between instances. An attribute that is added later gives the instance its own
        # dict of 800 bytes (``t/endpoint/test_idle_memory.py``).
        self._transforms, self.path_args, self.path_kwargs = [], [], {}
        self._transport, self._options = None, Option.NONE
        self._gone, self._stream, self._live, self._reading = False, None, None, None
        self._reframes = reframes(type(self))
        self._watchers, self._places, self._polls = None, None, None
        self._client_connection = client_connection(request.connection)
        super().__init__(application, request, **kwargs)
        # Do this after super().__init__, not in initialize() or on_connection_close(): a subclass
        # that overrides those need not call super().
        if self.asynchronous:
            self._auto_finish = False
        request.connection.set_close_callback(self._client_gone)  # type: ignore[union-attr]
        if self._client_connection.closed():
            # The client has left, and Tornado will not report it again. The second `call_soon` lets
            # the handler's method start first.
            loop = asyncio.get_running_loop()
            loop.call_soon(partial(loop.call_soon, self._client_gone))
        peer.current.set(weakref.ref(self))

    # -- writing

    def write(self, chunk: Any = None, *more: Any) -> None:
        """Add `chunk` to the body; `get_chunk` lists the types that it takes. None adds nothing.
        After the client has left, and after `finish`, this does nothing.
        """
        if self._finished:
            self._too_late("write()")
            return
        if self._transport is not None:
            self._begin()
        if self._live is not None:
            # Keep the order: earlier chunks may still be waiting in the stream.
            self.stream_write(chunk, *more)
        elif not self._gone and (more or chunk is not None):
            data = self.get_chunk(chunk, *more)
            # Tornado counts even an empty chunk as a body, which a 204 must not have.
            if data:
                super().write(data)

    def flush(self, include_footers: bool = False) -> asyncio.Future[None]:
        """Send everything that was written; see `tornado.web.RequestHandler.flush`."""
        if self._finished and (self._gone or self._stream is None):
            return done_future()
        if self._stream is None:
            return super().flush(include_footers)
        return asyncio.ensure_future(_wait(self._stream.drain()))

    def finish(self, chunk: Any = None) -> asyncio.Future[None]:
        """End the answer, after writing `chunk` if it is given; see
        `tornado.web.RequestHandler.finish`. A second call does nothing.
        """
        if self._finished:
            self._too_late("finish()")
            return done_future()
        if self._transport is not None:
            self._begin()
            if self._finished:
                # The client left before its stream began.
                return done_future()
        if self._stream is not None:
            if not self._gone:
                self.stream_write(chunk)
                self._stream.finish()
            self._close_stream()
            return done_future()
        if self._watchers and not self._gone and self._client_connection.hung_up():
            self._client_gone()
            if self._finished:
                return done_future()
        if self._watchers and chunk is None:
            self._check_callbacks()
        waits = bool(self._watchers)
        try:
            return super().finish(chunk)
        finally:
            # The client may still leave before the kernel has taken everything: wait before telling
            # the watchers that the client was served.
            if not (waits and self._client_connection.when_sent(self._sent)) and self._finished:
                self._dismiss_watchers()

    def _sent(self, failed: bool) -> None:
        if failed:
            self._gone = True
        self._dismiss_watchers(failed and self._client_connection.was_reset())

    def redirect(self, url: str, permanent: bool = False, status: int | None = None) -> None:
        """See `tornado.web.RequestHandler.redirect`. After the client has left, and after `finish`,
        this does nothing.
        """
        if self._gone or self._finished:
            self._too_late("redirect()")
            self.finish()
        else:
            super().redirect(url, permanent, status)

    # -- errors

    def log_exception(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Log an exception, unless it only means that the client left; see
        `tornado.web.RequestHandler.log_exception`.
        """
        closed = self._gone or self._client_connection.closed()
        # A StreamClosedError may also come from a connection to another server.
        if not isinstance(value, ClientDisconnect) and not (
            closed and isinstance(value, StreamClosedError)
        ):
            super().log_exception(typ, value, tb)

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        """Answer with an error, or cut the stream; see `tornado.web.RequestHandler.send_error`."""
        if self._gone:
            self.finish()
        elif self._stream is None:
            self._transport = None
            super().send_error(status_code, **kwargs)
        elif not self._finished:
            self._stream.abort()
            self._close_stream()

    def compute_etag(self) -> str | None:
        """None if the answer waited for events; see `tornado.web.RequestHandler.compute_etag`."""
        return None if self.asynchronous or self._watchers is not None else super().compute_etag()


async def _wait(awaitable: Awaitable[None]) -> None:
    await awaitable

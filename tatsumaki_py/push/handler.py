"""A `tornado.web.RequestHandler` whose answer may stay open.

Rules:
1. The answer is over when `_finished` is true, however it ended: `finish`, an error, or the client
   left. Then `on_finish` was called and the access log has its line, once.
2. While a stream is open, `_live` is its `Stream` and Tornado's connection is gone (`detach`):
   nothing of `RequestHandler` that writes may be reached.

Touches of Tornado's what its documentation does not name: `_auto_finish`, `_finished`,
`_headers`, `_headers_written`, `_transforms` (``t/handler/test_tornado_contract.py``).
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import weakref
from collections.abc import Awaitable
from types import TracebackType
from typing import Any

import tornado.web
from tornado.httputil import HTTPHeaders, HTTPServerRequest
from tornado.iostream import StreamClosedError

from tatsumaki_py import peer
from tatsumaki_py.error import ClientDisconnect
from tatsumaki_py.message_queue.event import Event
from tatsumaki_py.push.connection import keeper_of, take_over
from tatsumaki_py.push.framing import (
    Framing,
    JSONLines,
    Multipart,
    ServerSentEvents,
    framing,
)
from tatsumaki_py.push.presence import PresenceHandler
from tatsumaki_py.push.stream import DONE, Stream
from tatsumaki_py.request import Request

__all__ = ["PushHandler"]


# A proxy that compresses would also wait for more to compress.
_CACHE_CONTROL = "no-store, no-transform"


class PushHandler(PresenceHandler):
    """What `Handler` knows of writing and streaming."""

    # What is streamed, and whether with the option that it has.
    _kind: type[Framing] = Framing
    _option = False

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
        # All the names that a request may need, at once. CPython keeps them in the class, but not
        # one that comes late, when others were made without it: then each instance has a dict of
        # its own, of 800 bytes.
        self._transforms, self.path_args, self.path_kwargs = [], [], {}
        self._kind, self._option = Framing, False
        self._gone, self._stream, self._live = False, None, None
        self._watched, self._watchers = None, None
        super().__init__(application, request, **kwargs)
        # After super().__init__, because users override initialize() and on_connection_close()
        # without calling ours.
        if self.asynchronous:
            self._auto_finish = False
        request.connection.set_close_callback(self._client_gone)  # type: ignore[union-attr]
        if self._has_closed():
            # It left with its request, and nobody else will tell. After the method, which has not
            # begun yet.
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_soon, self._client_gone)
        peer.current.set(weakref.ref(self))

    # -- writing

    def write(self, chunk: Any, *more: Any) -> None:
        """Add to the body; see `get_chunk` for what it takes. After the client has gone it does
        nothing.
        """
        self._begin()
        if self._live is not None:
            # Or it would overtake, or be overtaken by, what is streamed.
            for part in (chunk, *more):
                self.stream_write(part)
        elif not self._gone:
            super().write(self.get_chunk(chunk, *more))

    def flush(self, include_footers: bool = False) -> asyncio.Future[None]:
        """Send what was written; see `tornado.web.RequestHandler.flush`."""
        if self._gone and self._finished:
            return _resolved()
        if self._stream is None:
            return super().flush(include_footers)
        return asyncio.ensure_future(_wait(self._stream.drain()))

    def finish(self, chunk: Any = None) -> asyncio.Future[None]:
        """End the answer, after writing `chunk` if it is given; see
        `tornado.web.RequestHandler.finish`.
        """
        if self._gone and self._finished:
            return _resolved()
        self._begin()
        if self._stream is not None:
            if not self._finished:
                if not self._gone:
                    self.stream_write(b"" if chunk is None else chunk)
                    self._stream.finish()
                self._close_stream()
            return _resolved()
        if self._watchers and not self._gone and self._hung_up():
            self._client_gone()
            if self._finished:
                return _resolved()
        iostream = self._iostream() if self._watchers else None
        try:
            return super().finish(chunk)
        finally:
            if iostream is not None and iostream.writing():
                # The kernel did not take it all: the client may still go without it.
                iostream.write(b"").add_done_callback(self._written)
            elif self._finished:
                self._dismiss_watchers()

    def _written(self, written: asyncio.Future[None]) -> None:
        if written.cancelled() or written.exception() is not None:
            self._gone = True
        self._dismiss_watchers()

    def redirect(self, url: str, permanent: bool = False, status: int | None = None) -> None:
        """See `tornado.web.RequestHandler.redirect`. After the client has gone it does nothing."""
        if self._gone:
            self.finish()
        else:
            super().redirect(url, permanent, status)

    # -- streaming

    @property
    def mxhr(self) -> bool:
        """Whether this is a multipart stream."""
        return self._kind is Multipart

    def multipart_xhr_push(self, on: bool | None = None) -> bool:
        """With True, begin a multipart stream: each `stream_write` is a part of its own. Returns
        whether it is one.

        Parts say the ids of events to clients that sent ``last_event_id``, which may be empty.
        Needs ``asynchronous = True`` or an ``async def`` method; else a `RuntimeError`.
        """
        asked = "last_event_id" in self.request.arguments or "Last-Event-ID" in self.request.headers
        return self._push(Multipart, on, asked)

    def server_sent_events(self, on: bool | None = None, *, event_type: bool = False) -> bool:
        """With True, begin a stream of Server-Sent Events (WHATWG HTML 9.2), which an
        ``EventSource`` reads. Returns whether it is one.

        Events have their ids. A gap is an event of type ``gap``. Needs what `multipart_xhr_push`
        needs.

        Args:
            event_type: whether the ``type`` of an event is the type that a page listens to:
                ``source.addEventListener("join", ...)``. Without it, all are of type ``message``.
        """
        return self._push(ServerSentEvents, on, event_type)

    def json_lines(self, on: bool | None = None) -> bool:
        """With True, begin a stream of JSON texts, one a line (``application/x-ndjson``). Returns
        whether it is one.

        An event is ``{"id": ..., "data": ...}``, a gap ``{"type": "gap", ...}``. Empty lines mean
        nothing. Needs what `multipart_xhr_push` needs.
        """
        return self._push(JSONLines, on)

    def _push(self, kind: type[Framing], on: bool | None, option: bool = False) -> bool:
        if on and self._kind is not kind:
            verb = str(self.request.method).lower()
            # A HEAD has nothing to push, whatever its method is.
            coroutine = verb == "head" or inspect.iscoroutinefunction(getattr(self, verb, None))
            if self._kind is not Framing:
                raise RuntimeError(f"this is a stream of {self._kind.content_type} already")
            if not self.asynchronous and not coroutine:
                raise RuntimeError("asynchronous should be set to do multipart XHR push")
            if self._headers_written:
                if self._gone:
                    return True
                raise RuntimeError(f"a stream of {kind.content_type} comes before anything is sent")
            self._kind, self._option = kind, option
            self.set_header("Content-Type", str(kind.content_type))
            if self.response.header("Cache-Control") is None:
                self.set_header("Cache-Control", _CACHE_CONTROL)
            if verb == "head":
                self._open_stream()
            else:
                # After the method: what it raises can still be answered.
                asyncio.get_running_loop().call_soon(self._begin)
        return self._kind is kind

    def _begin(self) -> None:
        """Open a stream of messages that is not open yet."""
        wanted = self._kind is not Framing and self.request.method != "HEAD"
        if wanted and self._stream is None and not self.peer_left():
            with contextlib.suppress(ClientDisconnect):
                self._open_stream()

    def stream_write(self, chunk: Any) -> Awaitable[None]:
        """Send `chunk` now, and keep the answer open.

        Args:
            chunk: what `write` takes. In a multipart stream it is a part.

        Returns:
            An awaitable that is done while the client keeps up, else when it has caught up; waiting
            for it is what keeps a slow client from being cut off (`max_buffer`).

        Raises:
            Error.ClientDisconnect: the client has gone.
        """
        if self._live is None:
            self._begin()
        stream = self._live
        if stream is not None and isinstance(chunk, Event):
            return stream.send(chunk)
        if stream is None and self._gone:
            raise ClientDisconnect
        # Before the headers are out: it may set the content type, or be a mistake.
        data = self.get_chunk(chunk)
        if stream is None:
            stream = self._open_stream()
            if stream is None:
                return DONE
            if isinstance(chunk, Event):
                return stream.send(chunk)
        if not data:
            return DONE
        json = isinstance(chunk, (dict, list, tuple))
        return stream.write(data, "application/json" if json else "text/plain; charset=UTF-8")

    def _open_stream(self) -> Stream | None:
        """Send the headers and take the connection over. None if there is nobody who wants a body
        (HEAD).
        """
        if self._finished:
            raise RuntimeError("Cannot stream_write() after finish()")
        head = self.request.method == "HEAD"
        keeper = keeper_of(self._iostream()) if self._may_go_on() else None
        if not self._headers_written:
            self._prepare_headers()
            if keeper is None and not head:
                self.set_header("Connection", "close")
            super().flush()
        elif self.response.header("Content-Encoding"):
            raise RuntimeError("stream_write() cannot go on with what flush() compressed")
        elif self._write_buffer:
            super().flush()
        if head:
            self.finish()
            # Nobody reads on; as after a client that left, an endless loop ends here.
            self._gone = True
            return None
        if self._has_closed():
            self._client_gone()
            raise ClientDisconnect
        self._unwatch()
        chunked = self.response.header("Transfer-Encoding") == "chunked"
        cursor = self.response.header("Last-Event-ID")
        iostream = self.detach()
        # detach() says so, but the answer goes on; an "async def" method that returns finishes it.
        self._finished = False
        if not chunked or "close" in (self.response.header("Connection") or "").lower():
            keeper = None
        frames = framing(self._kind, chunked, self._option)
        stream = take_over(iostream, frames, self.max_buffer, self, keeper)
        self._stream = self._live = stream
        # Nobody needs these any more, and there are thousands of idle subscribers.
        self.request.connection = self.request.server_connection = None
        self._headers = _SENT
        self.request.slim()
        beginning = stream.framing.begin(cursor)
        if beginning:
            stream.write_wire(beginning)
        return stream

    def _may_go_on(self) -> bool:
        """Whether the connection may have another request after a stream."""
        asked = self.request.headers
        # What has a body may not have been read to its end.
        body = "Content-Length" in asked or "Transfer-Encoding" in asked
        chunked = self.request.version != "HTTP/1.0" and not self.response.header("Content-Length")
        return chunked and not body

    def _prepare_headers(self) -> None:
        for name, value in (
            ("Cache-Control", _CACHE_CONTROL),
            ("X-Accel-Buffering", "no"),
            ("X-Content-Type-Options", "nosniff"),
        ):
            if self.response.header(name) is None:
                self.set_header(name, value)
        if self.request.version == "HTTP/1.0":
            # Only the end of the connection marks the end of this answer.
            self.request.headers["Connection"] = "close"
        compression = tornado.web.GZipContentEncoding
        self._transforms = [t for t in self._transforms if not isinstance(t, compression)]

    def _close_stream(self) -> None:
        """The end of a stream, for whatever reason: what `tornado.web.RequestHandler.finish` does
        at the end.
        """
        self._finished = True
        self._live = None
        self.application.log_request(self)
        self._dismiss_watchers()
        try:
            self.on_finish()
        finally:
            self.ui = None  # type: ignore[assignment]

    # -- errors

    def log_exception(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Log what was raised; a client that went is nothing to log. See
        `tornado.web.RequestHandler.log_exception`.
        """
        closed = self._gone or self._has_closed()
        # A StreamClosedError may also be of a connection to somebody else.
        if not isinstance(value, ClientDisconnect) and not (
            closed and isinstance(value, StreamClosedError)
        ):
            super().log_exception(typ, value, tb)

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        """Answer with an error; cuts a stream off. See `tornado.web.RequestHandler.send_error`."""
        if self._gone:
            self.finish()
        elif self._stream is None:
            self._kind = Framing
            super().send_error(status_code, **kwargs)
        elif not self._finished:
            self._stream.abort()
            self._close_stream()

    def compute_etag(self) -> str | None:
        """None for a push answer; see `tornado.web.RequestHandler.compute_etag`."""
        return None if self.asynchronous or self._watchers is not None else super().compute_etag()


class _SentHeaders(HTTPHeaders):
    """In place of headers that are out: changes go nowhere."""

    def __setitem__(self, name: str, value: str) -> None:
        pass

    def __delitem__(self, name: str) -> None:
        pass

    def add(self, name: str, value: str, **kwargs: Any) -> None:
        pass


_SENT = _SentHeaders()


def _resolved() -> asyncio.Future[None]:
    future = asyncio.get_running_loop().create_future()
    future.set_result(None)
    return future


async def _wait(awaitable: Awaitable[None]) -> None:
    await awaitable

"""Handler: answer at once, later, or keep pushing.

>>> from tatsumaki_py import Application, Handler
>>> class Hello(Handler):
...     def get(self, name):
...         self.write({"hello": name})
>>> app = Application([(r"/hello/(\\w+)", Hello)])

Differs from `tornado.web.RequestHandler` in:

1. ``asynchronous = True`` (Tatsumaki's word): the answer is not finished when the method returns,
   you call `finish`. It is finished for you when the client goes.
2. `write` takes lists, tuples and numbers, and several arguments. Lists are JSON, as in Tatsumaki;
   Tornado refuses them because of browsers of before 2011. JSON is sent as ``application/json``
   without a charset (RFC 8259 knows none).
3. Errors are text/plain: the message of an `Error.HTTP`, for anything else the status phrase. 405
   says what is allowed.
4. HEAD is answered by `get`.
5. An `asynchronous` answer has no ETag: a long poll that says the same twice is no 304.
6. After the client has gone, `write`, `flush` and `finish` do nothing; `stream_write` raises
   `Error.ClientDisconnect`.
7. Without a ``template_path``, templates are looked for beside the module of the handler's class
   (in Tornado: of the caller).
8. `stream_write` takes the connection over from Tornado (`detach`): it does not go through output
   transforms such as compression, and the connection is closed at its end.

Touches of Tornado's what its documentation does not name: `_auto_finish`, `_finished`,
`_headers_written`, `_transforms`, `_write_buffer` (``t/handler/test_tornado_contract.py``).

Source: ``Tatsumaki::Handler``.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import logging
import os
import socket
import sys
import weakref
from collections.abc import Awaitable, Callable
from http.client import responses
from types import TracebackType
from typing import Any, ClassVar, Protocol

import tornado.web
from tornado.httputil import HTTPHeaders, HTTPServerRequest
from tornado.iostream import StreamClosedError
from tornado.template import BaseLoader

from tatsumaki_py import peer
from tatsumaki_py.error import ClientDisconnect, HTTPError
from tatsumaki_py.message_queue.event import Event
from tatsumaki_py.push.framing import MULTIPART, RAW, Framing, Key
from tatsumaki_py.push.stream import DONE, Stream, take_over
from tatsumaki_py.request import Request
from tatsumaki_py.response import Response
from tatsumaki_py.template import SearchLoader

__all__ = ["Handler", "JSONCodec"]

_log = logging.getLogger("tatsumaki")


class JSONCodec(Protocol):
    """What `Handler.json` may be."""

    def encode(self, o: Any, /) -> str:
        """`o` as JSON."""


class Handler(tornado.web.RequestHandler):
    """Base class of your handlers; works in any `tornado.web.Application`."""

    asynchronous: ClassVar[bool] = False
    """Whether the answer is still open when the method has returned. Inherited (in Perl it was
    not).
    """
    nonblocking: ClassVar[bool] = False
    """Another name for `asynchronous`."""
    json: ClassVar[JSONCodec] = json.JSONEncoder(
        ensure_ascii=False, separators=(",", ":"), allow_nan=False
    )
    """Encodes what is not text. Events are encoded once, when they are published, and never by
    this.
    """
    binary = False
    """Whether `str` is written as Latin-1 instead of UTF-8. Code points above 255 raise then."""
    max_buffer: ClassVar[int] = 1024 * 1024
    """Bytes that may wait for a subscriber of a stream; one that lets more pile up is cut off, and
    comes back with its cursor.
    """

    request: Request

    _mxhr = False
    _gone = False
    _stream: Stream | None = None
    # The same while it is open.
    _live: Stream | None = None
    _framings: dict[Key, Framing] = RAW
    # None until a queue serves this client.
    _watchers: list[peer.Watcher] | None = None

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
        super().__init__(application, request, **kwargs)
        # After super().__init__, because users override initialize() and on_connection_close()
        # without calling ours.
        if self.asynchronous:
            self._auto_finish = False
        request.connection.set_close_callback(self._client_gone)  # type: ignore[union-attr]
        peer.current.set(weakref.ref(self))

    # -- reading

    @property
    def args(self) -> list[str]:
        """What the groups of the route matched (`path_args`); None for one that took no part."""
        return self.path_args

    @args.setter
    def args(self, args: list[str]) -> None:
        self.path_args = args

    @property
    def response(self) -> Response:
        """The status and the headers, as attributes."""
        # Made anew each time: kept, it would be a reference cycle for each request.
        return Response(self)

    def head(self, *args: Any, **kwargs: Any) -> Any:
        """HEAD is GET without a body. Override to do less work."""
        return self.get(*args, **kwargs)

    # -- writing

    def get_chunk(self, chunk: Any, *more: Any) -> bytes:
        """The bytes for what `write` was given; sets the content type if there is JSON among it.

        Text is UTF-8 (Latin-1 if `binary`), bytes stay as they are, numbers are written out, dicts,
        lists and tuples are JSON. Anything else is a `TypeError`.
        """
        return self._encode(chunk) if not more else b"".join(map(self._encode, (chunk, *more)))

    def _encode(self, chunk: Any) -> bytes:
        if isinstance(chunk, str):
            return chunk.encode("latin-1" if self.binary else "utf-8")
        if isinstance(chunk, (bytes, bytearray, memoryview)):
            return bytes(chunk)
        if isinstance(chunk, (dict, list, tuple)):
            self.set_header("Content-Type", "application/json")
            return self._encode_json(chunk)
        if isinstance(chunk, (int, float)) and not isinstance(chunk, bool):
            return str(chunk).encode()
        raise TypeError(
            f"write takes text, bytes, numbers, dicts, lists and tuples, not {type(chunk).__name__}"
        )

    def _encode_json(self, chunk: dict[Any, Any] | list[Any] | tuple[Any, ...]) -> bytes:
        if isinstance(chunk, Event):
            return chunk.json
        if chunk and not isinstance(chunk, dict) and all(isinstance(item, Event) for item in chunk):
            # So that who loses this answer can say where it was.
            self.set_header("Last-Event-ID", chunk[-1].id)
            return b"[" + b",".join([event.json for event in chunk]) + b"]"
        return self.json.encode(chunk).encode()

    def write(self, chunk: Any, *more: Any) -> None:
        """Add to the body; see `get_chunk` for what it takes. After the client has gone it does
        nothing.
        """
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
        return asyncio.ensure_future(_wait(self.stream_write(b"")))

    def finish(self, chunk: Any = None) -> asyncio.Future[None]:
        """End the answer, after writing `chunk` if it is given; see
        `tornado.web.RequestHandler.finish`.
        """
        if self._gone and self._finished:
            return _resolved()
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
        try:
            return super().finish(chunk)
        finally:
            if self._finished:
                self._dismiss_watchers()

    def render(
        self, template_name: str, *namespaces: dict[str, Any], **kwargs: Any
    ) -> asyncio.Future[None]:
        """Render a template as the answer and finish it.

        Args:
            template_name: a file in ``template_path``; one that is missing is a
                `FileNotFoundError`, so a 500.
            namespaces: dicts of what the template sees, beside Tornado's names (``handler``,
                ``request``, ...).
            kwargs: more of that; wins.
        """
        args = {key: value for namespace in namespaces for key, value in namespace.items()} | kwargs
        engine = self.settings.get("template")
        if engine is None:
            return super().render(template_name, **args)
        return self.finish(engine.render_file(template_name, self.get_template_namespace() | args))

    def get_template_path(self) -> str:
        """Where templates are: the setting ``template_path``, else the directory of the handler's
        module.
        """
        path = self.settings.get("template_path")
        if path is None:
            path = os.path.dirname(sys.modules[type(self).__module__].__file__ or "") or "."
        # Tornado keeps one loader for each path, so it has to be a str.
        return (
            os.fspath(path)
            if isinstance(path, (str, os.PathLike))
            else "\0".join(map(os.fspath, path))
        )

    def create_template_loader(self, template_path: str) -> BaseLoader:
        """A loader for the directories of `get_template_path`; see
        `tornado.web.RequestHandler.create_template_loader`.
        """
        if self.settings.get("template_loader") is not None:
            return super().create_template_loader(template_path)
        names = {"autoescape": "autoescape", "whitespace": "template_whitespace"}
        options = {key: self.settings[name] for key, name in names.items() if name in self.settings}
        return SearchLoader(template_path.split("\0"), **options)

    # -- streaming

    @property
    def mxhr(self) -> bool:
        """Whether this is a multipart stream."""
        return self._mxhr

    def multipart_xhr_push(self, on: bool | None = None) -> bool:
        """With True, begin a multipart stream: each `stream_write` is a part of its own. Returns
        whether it is one.

        Needs ``asynchronous = True`` or an ``async def`` method; else a `RuntimeError`.
        """
        if on and not self._mxhr:
            method = getattr(self, str(self.request.method).lower(), None)
            if not self.asynchronous and not inspect.iscoroutinefunction(method):
                raise RuntimeError("asynchronous should be set to do multipart XHR push")
            self._mxhr = True
            self._framings = MULTIPART
            self.set_header("Content-Type", str(MULTIPART[True, False].content_type))
            self._open_stream()
        return self._mxhr

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
        stream = self._live
        if stream is None:
            if self._gone:
                raise ClientDisconnect
            if self._finished and self.request.method == "HEAD":
                return DONE
            stream = self._open_stream()
            if stream is None:
                return DONE
        if isinstance(chunk, Event):
            return stream.send(chunk)
        data = self.get_chunk(chunk)
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
        if not self._headers_written:
            self._prepare_headers()
            super().flush()
        if head:
            self.finish()
            return None
        chunked = self.response.header("Transfer-Encoding") == "chunked"
        ids = "last_event_id" in self.request.arguments or "Last-Event-ID" in self.request.headers
        framing = self._framings[chunked, ids]
        iostream = self.detach()
        # detach() says so, but the answer goes on; an "async def" method that returns finishes it.
        self._finished = False
        stream = take_over(iostream, framing, self.max_buffer, self._client_gone)
        self._stream = self._live = stream
        # Nobody needs these any more, and there are thousands of idle subscribers.
        self.request.connection = self.request.server_connection = None
        self._headers = _SENT
        if not self.request.body_arguments:
            self.request.query_arguments = self.request.arguments
        if framing.opening:
            stream.write_wire(framing.opening)
        return stream

    def _prepare_headers(self) -> None:
        for name, value in (
            ("Cache-Control", "no-store"),
            ("X-Accel-Buffering", "no"),
            ("X-Content-Type-Options", "nosniff"),
        ):
            if self.response.header(name) is None:
                self.set_header(name, value)
        self.set_header("Connection", "close")
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

    def async_cb(self, callback: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a callback so that what it raises becomes the answer, as if it were raised in the
        method.
        """

        @functools.wraps(callback)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            try:
                result = callback(*args, **kwargs)
            except Exception as error:
                self._fail(error)
                return None
            return self._guard(result) if inspect.isawaitable(result) else result

        guarded.__self__ = self  # type: ignore[attr-defined]
        return guarded

    def _guard(self, awaitable: Awaitable[Any]) -> asyncio.Task[Any]:
        async def guard() -> Any:
            try:
                return await awaitable
            except Exception as error:
                self._fail(error)

        return asyncio.ensure_future(guard())

    def _fail(self, error: BaseException) -> None:
        self.log_exception(type(error), error, error.__traceback__)
        self.peer_failed(error)

    def log_exception(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Log what was raised; a client that went is nothing to log. See
        `tornado.web.RequestHandler.log_exception`.
        """
        if not isinstance(value, (ClientDisconnect, StreamClosedError)):
            super().log_exception(typ, value, tb)

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        """Answer with an error; cuts a stream off. See `tornado.web.RequestHandler.send_error`."""
        if self._gone and self._finished:
            return
        if self._stream is None:
            super().send_error(status_code, **kwargs)
        elif not self._finished:
            self._stream.abort()
            self._close_stream()

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Write an error as text/plain. Override as in Tornado."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        if status_code == 405:
            self.set_header("Allow", ", ".join(self._allowed()))
        if status_code in (204, 304) or status_code < 200:
            self.finish()
        elif self.settings.get("serve_traceback") and error is not None:
            super().write_error(status_code, **kwargs)
        else:
            self.set_header("Content-Type", "text/plain; charset=UTF-8")
            if isinstance(error, HTTPError):
                self.finish(error.message)
            else:
                reason = kwargs.get("reason") or getattr(error, "reason", None)
                self.finish(str(reason or responses.get(status_code, "Unknown")))

    def _allowed(self) -> list[str]:
        # What a class does not define is the same in all: Tornado's own refusal.
        missing = tornado.web.RequestHandler.get
        verbs = {
            name: getattr(type(self), name.lower(), missing) for name in self.SUPPORTED_METHODS
        }
        if verbs["HEAD"] is Handler.head:
            verbs["HEAD"] = verbs["GET"]
        return [name for name, verb in verbs.items() if verb is not missing]

    def compute_etag(self) -> str | None:
        """None for a push answer; see `tornado.web.RequestHandler.compute_etag`."""
        return None if self.asynchronous or self._watchers is not None else super().compute_etag()

    def log(self, message: str, *args: object) -> None:
        """Log to the logger ``tatsumaki``, level INFO: ``self.log("%s joined", name)``."""
        _log.info(message, *args)

    # -- the client (see `tatsumaki_py.peer`)

    def _client_gone(self) -> None:
        if self.peer_left():
            return
        self._gone = True
        self._live = None
        self._dismiss_watchers()
        try:
            self.on_connection_close()
        except Exception:
            self.log_exception(*sys.exc_info())
        if not self._finished and (self.asynchronous or self._stream is not None):
            self.finish()

    def _hung_up(self) -> bool:
        """Whether the client closed the connection and the loop has not noticed yet."""
        stream = getattr(self.request.connection, "stream", None)
        sock = getattr(stream, "socket", None)
        if sock is None:
            return False
        try:
            # Of the plain socket, also under TLS.
            return socket.socket.recv(sock, 1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def _dismiss_watchers(self) -> None:
        watchers, self._watchers = self._watchers or [], []
        for watcher in watchers:
            if self._gone:
                watcher.left()
            else:
                watcher.served()

    def peer_cursor(self) -> str | None:
        return self.request.last_event_id

    def peer_watch(self, watcher: peer.Watcher) -> bool:
        if self._gone or self._finished or self.request.method == "HEAD":
            return False
        if self._watchers is None:
            self._watchers = []
            if not self._headers_written and self.response.header("Cache-Control") is None:
                self.set_header("Cache-Control", "no-store")
        self._watchers.append(watcher)
        return True

    def peer_unwatch(self, watcher: peer.Watcher) -> None:
        if self._watchers and watcher in self._watchers:
            self._watchers.remove(watcher)

    def peer_left(self) -> bool:
        return self._gone or self._finished

    def peer_over(self) -> bool:
        return self._finished and not self._gone

    def peer_failed(self, error: BaseException) -> None:
        if self._finished:
            return
        if isinstance(error, ClientDisconnect):
            self.finish()
            return
        code = error.status_code if isinstance(error, tornado.web.HTTPError) else 500
        self.send_error(code, exc_info=(type(error), error, error.__traceback__))

    def peer_finish(self) -> None:
        if not self._finished:
            self.finish()

    def peer_unsent(self) -> str | None:
        return None if self._stream is None else self._stream.unsent


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

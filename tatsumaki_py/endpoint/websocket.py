"""The WebSocket of a client that a `SubscribeHandler` has admitted.

Rule: the methods of a `tornado.websocket.WebSocketHandler` that Tornado documents for overriding
are called on the `SubscribeHandler` if it defines them. The class `SubscribeHandler` defines only
`select_subprotocol`, because another base class of a program may define the others.

Uses names that Tornado does not document: `_headers`, `_log`, `_new_cookie`
(``t/handler/test_tornado_contract.py``).
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Awaitable
from types import TracebackType
from typing import Any, Protocol, cast

from tornado.httputil import HTTPHeaders
from tornado.iostream import IOStream, StreamClosedError

from tatsumaki_py.done import DONE, done_future
from tatsumaki_py.error import HTTPError
from tatsumaki_py.message_queue.event import Entry, Event
from tatsumaki_py.message_queue.peer import takes_entries
from tatsumaki_py.push.framing import Option
from tatsumaki_py.push.framing.websocket import WebSocket
from tatsumaki_py.push.peer_base import shows_events
from tatsumaki_py.push.sent_headers import SENT
from tatsumaki_py.push.stream import Stream
from tatsumaki_py.push.websocket import UNREAD_MESSAGE_SIZE, WebSocketHandler
from tatsumaki_py.push.websocket_socket import WebSocketSocket, take_socket

__all__ = ["Admitting", "SubscribeSocket"]

NORMAL, POLICY_VIOLATION, TRY_AGAIN_LATER = 1000, 1008, 1013
EXPELLED = 4000
"""Added to the HTTP status of the refusal: 4403 for a 403. (Codes from 4000 to 4999 are private,
RFC 6455 7.4.2.)
"""
# The number of bytes of a reason that fit in a close frame.
_REASON = 123
# Hooks for which Tornado must read from the connection.
_READS = ("on_message", "on_ping", "on_pong", "get_compression_options")


# Replaces the list of channel names once it is no longer needed.
_NONE: list[str] = []


class _Taken:
    """Tornado gets this in place of the connection whose socket was taken."""

    def __init__(self, stream: WebSocketSocket) -> None:
        self._stream: WebSocketSocket | None = stream

    def read_bytes(self, size: int) -> None:
        """Called when `open` has returned: end Tornado's part."""
        self._stream = None
        raise StreamClosedError

    def close(self) -> None:
        """Called when `open` has failed."""
        if self._stream is not None:
            self._stream.fail(StreamClosedError())


class Admitting(Protocol):
    """The handler that admitted the client, as its WebSocket sees it."""

    max_buffer: int
    heartbeat_interval: float | None
    max_stream_time: float | None
    close_code: int | None
    close_reason: str | None
    path_args: list[str]
    path_kwargs: dict[str, str]
    _headers: HTTPHeaders
    _reframes: bool
    _stream: Stream | None

    def select_subprotocol(self, subprotocols: list[str]) -> str | None: ...

    def check_trusted_origin(self, origin: str) -> bool: ...

    def _framing_options(self) -> Option:
        """The options of the framing, in addition to those that the request asks for."""

    def _public(self) -> bool:
        """Whether any page may open the connection."""

    def _subscribe(self, names: list[str], target: SubscribeSocket) -> None:
        """Push the events of the channels `names` to `target`."""

    def _socket_over(self) -> None:
        """The connection has ended. May be called twice."""

    def _chunk(self, chunk: Any, *more: Any) -> bytes: ...

    def set_status(self, status_code: int) -> None: ...

    def _log(self) -> None: ...

    def log_exception(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None: ...


class SubscribeSocket(WebSocketHandler):
    """Owns the connection. Calls the hooks that the class of the `Admitting` handler defines."""

    # Whether messages from the client are ignored.
    _expelled = False

    def initialize(self, outer: Admitting, names: list[str]) -> None:
        self._outer = outer
        # The stream of the socket, if Tornado does not read from the connection.
        self._own: WebSocketSocket | None = None
        self._names = names
        self._reframes = outer._reframes
        self.max_buffer = outer.max_buffer
        self.heartbeat_interval = outer.heartbeat_interval
        self.max_stream_time = outer.max_stream_time
        # Headers and cookies that `prepare` set are sent with the handshake.
        self._headers = outer._headers
        if hasattr(outer, "_new_cookie"):
            self._new_cookie = outer._new_cookie

    def _log_now(self) -> None:
        # Log with the user's handler: a `log_function` may look at its attributes.
        self._outer.set_status(self.get_status())
        self._outer._stream = self._stream
        self._outer._log()

    def log_exception(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if not (self._gone and isinstance(value, StreamClosedError)):
            self._outer.log_exception(typ, value, tb)

    # -- the handshake

    def check_origin(self, origin: str) -> bool:
        outer = self._outer
        check = getattr(outer, "check_origin", super().check_origin)
        return bool(outer.check_trusted_origin(origin) or check(origin) or outer._public())

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        return self._outer.select_subprotocol(subprotocols)

    def get_compression_options(self) -> dict[str, Any] | None:
        options: dict[str, Any] | None = self._hook("get_compression_options")
        return options

    @property
    def ping_interval(self) -> float | None:
        return getattr(self._outer, "ping_interval", super().ping_interval)

    @property
    def ping_timeout(self) -> float | None:
        return getattr(self._outer, "ping_timeout", super().ping_timeout)

    @property
    def max_message_size(self) -> int:
        read = hasattr(self._outer, "on_message")
        default = super().max_message_size if read else UNREAD_MESSAGE_SIZE
        size: int = getattr(self._outer, "max_message_size", default)
        return size

    # -- the connection

    @property
    def goes_on(self) -> bool:
        """Whether the connection stays open although Tornado is done with it."""
        return self._own is not None and not self._own.over

    def _take_over(self, iostream: IOStream, framing: WebSocket) -> IOStream:
        reads = any(hasattr(self._outer, name) for name in _READS) or self.ping_interval
        stream = (
            None
            if reads
            else take_socket(iostream, framing, self.max_buffer, self, self.max_message_size)
        )
        if stream is None:
            return super()._take_over(iostream, framing)
        self._own = self._stream = self._live = stream
        return cast(IOStream, _Taken(stream))

    def _stream_said(self, code: int | None, reason: str | None) -> None:
        self.close_code, self.close_reason = code, reason

    def _stream_closed(self, lost: bool) -> None:
        if self._own is None:
            super()._stream_closed(lost)
            return
        if self._live is not None:
            self._live, self._gone = None, True
            self._dismiss_watchers(lost)
        self._log_end()
        try:
            super().on_ws_connection_close(self.close_code, self.close_reason)
        except Exception:
            self.log_exception(*sys.exc_info())
        self._outer._socket_over()

    def on_ws_connection_close(
        self, close_code: int | None = None, close_reason: str | None = None
    ) -> None:
        """Called by Tornado. If the socket was taken, Tornado calls this right after `open`,
        because it has nothing to read.
        """
        if self._own is None:
            super().on_ws_connection_close(close_code, close_reason)
        else:
            self._slim()

    def _slim(self) -> None:
        """Free what only the handshake needed, because there are thousands of idle subscribers."""
        self.ws_connection = self.ui = None  # type: ignore[assignment]
        self.request.connection = self.request.server_connection = None
        self._headers = self._outer._headers = SENT
        self._compact()

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        """See `WebSocketHandler.close`."""
        if self._own is None:
            super().close(code, reason)
        elif self._live is not None:
            self._live = None
            self._own.say_goodbye(code, reason)
            self._dismiss_watchers()

    def _options(self) -> Option:
        return self._outer._framing_options()

    def open(self, *args: str, **kwargs: str) -> Awaitable[None] | None:
        outer = self._outer
        try:
            opened = self._hook("open", *outer.path_args, **outer.path_kwargs)
            if inspect.isawaitable(opened):
                # Return a coroutine only if needed: Tornado keeps it until the connection ends.
                return self._open_later(opened)
            self._subscribe()
        except HTTPError as error:
            self._refuse(error)
        return None

    async def _open_later(self, opened: Awaitable[None]) -> None:
        try:
            await opened
            self._subscribe()
        except HTTPError as error:
            self._refuse(error)

    def _subscribe(self) -> None:
        if not self._peer_left():
            names, self._names = self._names, _NONE
            self._outer._subscribe(names, self)

    def _refuse(self, error: HTTPError) -> None:
        """Refuse with a close frame, because the handshake is over."""
        self._close_with(TRY_AGAIN_LATER if error.code == 503 else POLICY_VIOLATION, error)

    def expel(self, error: HTTPError) -> None:
        """End the connection: its client no longer has permission. `error` is the reason."""
        if self._peer_left():
            return
        self._expelled = True
        self._dismiss_watchers(left=True)
        code = EXPELLED + error.code if error.code < 500 else TRY_AGAIN_LATER
        try:
            self._close_with(code, error)
        except Exception:
            self.log_exception(*sys.exc_info())

    def _close_with(self, code: int, error: HTTPError) -> None:
        self.close(code, error.message.encode()[:_REASON].decode(errors="ignore"))

    def on_message(self, message: str | bytes) -> Awaitable[None] | None:
        if self._expelled:
            # Tornado still reads, until the client has answered the close frame.
            return None
        try:
            result = self._hook("on_message", message)
        except HTTPError as error:
            self._put_off(error)
            return None
        return self._on_message_later(result) if inspect.isawaitable(result) else None

    async def _on_message_later(self, result: Awaitable[None]) -> None:
        try:
            await result
        except HTTPError as error:
            self._put_off(error)

    def _put_off(self, error: HTTPError) -> None:
        """`on_message` raised `error`. A 503 is not a mistake of the program, because the server
        may be stopping: close the connection. Re-raise any other error.
        """
        if error.code != 503:
            raise error
        self._refuse(error)

    def on_ping(self, data: bytes) -> None:
        self._hook("on_ping", data)

    def on_pong(self, data: bytes) -> None:
        self._hook("on_pong", data)

    def on_close(self) -> None:
        self._outer.close_code, self._outer.close_reason = self.close_code, self.close_reason
        self._hook("on_close")

    def send(self, chunk: Any = None, *more: Any) -> Awaitable[None]:
        """`stream_write` and `write` of the `SubscribeHandler`."""
        chunks = [one for one in (chunk, *more) if one is not None]
        return self.stream_write(*chunks) if chunks else DONE

    def end(self, chunk: Any = None) -> asyncio.Future[None]:
        """`finish` of the `SubscribeHandler`."""
        if not self._peer_left():
            self.send(chunk)
            self.close(NORMAL)
        return done_future()

    def _hook(self, name: str, *args: Any, **kwargs: Any) -> Any:
        hook = getattr(self._outer, name, None)
        return None if hook is None else hook(*args, **kwargs)

    # -- events

    def _encode_event(self, event: Event) -> bytes:
        return self._outer._chunk(event)

    @shows_events
    @takes_entries
    def _push_events(self, *entries: Entry) -> None:
        for entry in entries:
            self.stream_write(entry.event() if self._reframes else entry)

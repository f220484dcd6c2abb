"""WebSocketHandler: a WebSocket with `stream_write`.

>>> from tatsumaki_py import MessageQueue, WebSocketHandler
>>> class Live(WebSocketHandler):
...     def open(self, channel):
...         client_id = self.request.param("client_id")
...         MessageQueue.instance(channel).poll(client_id, self.on_new_event)
...
...     def on_new_event(self, *events):
...         for event in events:
...             self.stream_write(event)

Rules:
1. Tornado reads from the connection, and answers pings and the closing handshake. The stream, not
   Tornado, writes events, and keeps them in order with Tornado's frames (`WebSocketStream`).
2. After the close frame, no event is sent.

Uses names that Tornado does not document: `on_ws_connection_close`, and that the
handshake is logged by `_log` and ends in `detach` (``t/handler/test_tornado_contract.py``).
"""

from __future__ import annotations

import re
import sys
import weakref
from collections.abc import Awaitable
from types import TracebackType
from typing import Any, cast

import tornado.web
import tornado.websocket
from tornado.httputil import HTTPServerRequest
from tornado.iostream import IOStream, StreamClosedError

from tatsumaki_py.body_encoding import EventEncoding
from tatsumaki_py.done import DONE
from tatsumaki_py.error import ClientDisconnect
from tatsumaki_py.iostream import adopt
from tatsumaki_py.json_codec import JSON
from tatsumaki_py.message_queue import peer
from tatsumaki_py.message_queue.event import Entry, Event
from tatsumaki_py.push.counted import CLOSED, EXPIRED, LOST
from tatsumaki_py.push.framing import Option
from tatsumaki_py.push.framing.websocket import BINARY, TEXT, WebSocket, websocket_frame
from tatsumaki_py.push.lazy_ui import LazyUI
from tatsumaki_py.push.peer_base import PeerBase, shows_events
from tatsumaki_py.push.tornado_connection import adopt_connection
from tatsumaki_py.push.transports import WEBSOCKET, asked
from tatsumaki_py.push.websocket_stream import OrderedIOStream, WebSocketStream
from tatsumaki_py.request import Request

__all__ = ["NEEDS_HTTP_1_1", "WebSocketHandler"]

NEEDS_HTTP_1_1 = "A WebSocket needs HTTP/1.1 (behind nginx: proxy_http_version 1.1)"

# An offer of compression that Tornado accepts. zlib does not support a window of 8 bits.
_OFFER = re.compile(
    r"permessage-deflate(\s*;\s*(server|client)_"
    r"(no_context_takeover|max_window_bits(\s*=\s*(9|1[0-5]|\"(9|1[0-5])\"))?))*"
)

NORMAL = 1000
GOING_AWAY = 1001
INTERNAL_ERROR = 1011
UNREAD_MESSAGE_SIZE = 4096


class WebSocketHandler(EventEncoding, PeerBase, LazyUI, tornado.websocket.WebSocketHandler):
    """A `tornado.websocket.WebSocketHandler` to which events can be pushed, as to a `Handler`.

    An event is a text message, the JSON object ``{"id": ..., "data": ...}``; a gap is
    ``{"type": "gap", ...}``. When a poll begins, ``{"id": ...}`` tells the client its cursor. A
    client that sent ``heartbeat=1`` gets the same message as a heartbeat, because pages do not see
    pings. Tornado reads from the connection only after `open` has returned, so in `open`, poll with
    a callback or start a task.

    Messages from the client are ignored unless you override `on_message`.
    """

    plain_messages = False
    """Whether each message is an event as it was published, without its id, for clients that expect
    that. Gaps are sent, but no cursors, so such a client can resume only by its ``client_id``.
    """

    request: Request
    """See `Handler.request`."""
    # Whether the line of this connection in the access log has not been written yet.
    _unlogged = False

    def __init__(
        self, application: tornado.web.Application, request: HTTPServerRequest, **kwargs: Any
    ) -> None:
        Request.adopt(request)
        self._reframes = type(self).json is not JSON
        adopt_connection(request.connection)
        super().__init__(application, request, **kwargs)
        peer.current.set(weakref.ref(self))

    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Answer the handshake. HTTP/1.0 is answered with 400; Tornado checks the rest."""
        if self.request.version == "HTTP/1.0":
            self.set_status(400)
            self.finish(NEEDS_HTTP_1_1)
        else:
            self._keep_valid_offers()
            try:
                await super().get(*args, **kwargs)
            finally:
                if self.get_status() != 101:
                    # Break the reference cycle: Tornado breaks it only after a handshake.
                    self.ws_connection = None

    def _keep_valid_offers(self) -> None:
        """Remove invalid offers of extensions: Tornado would raise an exception (by RFC 7692 7, a
        server declines such an offer), or Python would never free the charsets in them.
        """
        headers = self.request.headers
        offers = headers.get("Sec-WebSocket-Extensions", "").split(",")
        valid = [offer for offer in offers if _OFFER.fullmatch(offer.strip())]
        if valid:
            headers["Sec-WebSocket-Extensions"] = ",".join(valid)
        elif "Sec-WebSocket-Extensions" in headers:
            del headers["Sec-WebSocket-Extensions"]

    @shows_events
    def stream_write(self, chunk: Any, *more: Any) -> Awaitable[None]:
        """Send one message per chunk: `bytes` as a binary message, an event or any other JSON value
        as a text message.

        Returns an awaitable as `Handler.stream_write` does. Raises `Error.ClientDisconnect` if the
        connection is closed, and `TypeError` or `ValueError` if a chunk cannot be encoded as JSON.
        """
        stream = self._live
        if stream is None:
            raise ClientDisconnect
        if more:
            for part in (chunk, *more[:-1]):
                self.stream_write(part)
            return self.stream_write(more[-1])
        if isinstance(chunk, (Entry, Event)):
            if not self._reframes:
                return stream.send(chunk.entry)
            payload = self._encode_event(chunk.entry.event())
            return stream.send_as(chunk.entry, payload) if payload else DONE
        if isinstance(chunk, (bytes, bytearray, memoryview)):
            return stream.write_wire(websocket_frame(BINARY, bytes(chunk)))
        text = chunk if isinstance(chunk, str) else self.json.encode(chunk)
        return stream.write_wire(websocket_frame(TEXT, text.encode()))

    @property
    def max_message_size(self) -> int:
        """The maximum size of a message from the client, in bytes; a larger message closes the
        connection. This is Tornado's setting ``websocket_max_message_size`` if `on_message` is
        overridden. Otherwise it is 4096, because no code would read the message that Tornado holds
        in memory.
        """
        if type(self).on_message is WebSocketHandler.on_message:
            return UNREAD_MESSAGE_SIZE
        return super().max_message_size

    def on_message(self, message: str | bytes) -> Awaitable[None] | None:
        """Override to read what the client sends; see `tornado.websocket.WebSocketHandler`."""
        return None

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        """Send everything that was written, then close; see
        `tornado.websocket.WebSocketHandler.close`.
        """
        self._let_go()
        super().close(code, reason)

    def detach(self) -> IOStream:
        """Called by Tornado when the handshake is done."""
        iostream = super().detach()
        adopt(iostream)
        if iostream.closed():
            # The client left during the handshake: `open` finds that it is gone, and Tornado's
            # first read ends the connection.
            self._gone = True
            return iostream
        return self._take_over(
            iostream, WEBSOCKET.framing.of(self._options() | asked(self.request))
        )

    def _take_over(self, iostream: IOStream, framing: WebSocket) -> IOStream:
        """Begin the stream. Returns the `IOStream` for Tornado to read from and write to."""
        stream = WebSocketStream(iostream, framing, self.max_buffer, self)
        self._stream = self._live = stream
        # A connection that ends without a close frame must also be noticed.
        iostream.set_close_callback(self._client_gone)
        return cast(IOStream, OrderedIOStream(iostream, stream))

    def _options(self) -> Option:
        """The options of the framing, in addition to those that the request asks for."""
        return Option.PLAIN if self.plain_messages else Option.NONE

    def log_exception(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Log an exception, unless it only means that the connection is closed."""
        closed = (self._gone and isinstance(value, StreamClosedError)) or (
            self._live is None and isinstance(value, tornado.websocket.WebSocketClosedError)
        )
        if not isinstance(value, ClientDisconnect) and not closed:
            super().log_exception(typ, value, tb)

    def _log(self) -> None:
        if self.get_status() == 101 and not self._unlogged:
            # The line is written when the connection ends.
            self._unlogged = True
        else:
            self._log_now()

    def _log_now(self) -> None:
        super()._log()

    def _log_end(self) -> None:
        """Write the line of the access log, once."""
        if self._unlogged:
            self._unlogged = False
            self._log_now()

    def on_ws_connection_close(
        self, close_code: int | None = None, close_reason: str | None = None
    ) -> None:
        """Called by Tornado when either side has closed the connection."""
        self._client_gone()
        super().on_ws_connection_close(close_code, close_reason)

    def _client_gone(self, lost: bool | None = None) -> None:
        stream, self._live = self._live, None
        if isinstance(stream, WebSocketStream):
            self._gone = True
            if lost is None:
                # Without a close frame, the client did not close the connection cleanly.
                lost = not stream.closing
            stream.ends(LOST if lost else CLOSED)
            stream.abort()
            self._dismiss_watchers(lost)
        self._log_end()

    def _let_go(self) -> None:
        """Push nothing more: the connection is about to end."""
        stream, self._live = self._live, None
        if isinstance(stream, WebSocketStream):
            stream.hand_over()
            self._dismiss_watchers()

    def _stream_closed(self, lost: bool) -> None:
        self._client_gone(lost)

    def _stream_expired(self, retry: int | None) -> bool:
        if self._busy():
            return False
        if self._stream is not None and retry is None:
            self._stream.ends(EXPIRED)
        self._say_retry(retry)
        self._end(GOING_AWAY)
        return True

    def _stream_cut(self) -> None:
        """Nothing to do: the access log has the status of the handshake."""

    def _peer_cursor(self) -> str | None:
        return self.request.last_event_id

    def _peer_watch(self, watcher: peer.Watcher) -> bool:
        if self._live is None:
            return False
        self._watchers = [*(self._watchers or ()), watcher]
        self.request.slim()
        self._give_ui_up()
        return True

    def _peer_left(self) -> bool:
        return self._live is None

    def _peer_over(self) -> bool:
        return self._stream is not None and self._live is None and not self._gone

    def _peer_failed(self, error: BaseException) -> None:
        self._end(None if isinstance(error, ClientDisconnect) else INTERNAL_ERROR)

    def _peer_finish(self) -> None:
        self._end(GOING_AWAY)

    def _peer_ended(self) -> None:
        if not self._watchers:
            self._end(NORMAL, "end")

    def _end(self, code: int | None, reason: str | None = None) -> None:
        """Close. An exception in a user's override is logged, not raised."""
        try:
            self.close(code, reason)
        except Exception:
            self.log_exception(*sys.exc_info())

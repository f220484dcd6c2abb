"""A `tornado.web.RequestHandler` that knows its client: whether it is there, and who serves it.

Rules:
1. `_gone` is true from the moment that the client is known to have left before the answer was over.
2. Everything that serves the client (`Watcher`) is told once whether it was served or has left.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable
from typing import ClassVar

import tornado.web
from tornado.iostream import IOStream

from tatsumaki_py import peer
from tatsumaki_py.chunk import ChunkHandler
from tatsumaki_py.error import ClientDisconnect
from tatsumaki_py.push.hangup import HangUps, ask_peer, hung_up
from tatsumaki_py.push.stream import DONE, Stream
from tatsumaki_py.request import Request
from tatsumaki_py.response import Response

__all__ = ["PresenceHandler"]


class PresenceHandler(ChunkHandler):
    """What `Handler` knows of its client; see `tatsumaki_py.peer`."""

    asynchronous: ClassVar[bool] = False
    """Whether the answer is still open when the method has returned. Inherited (in Perl it was
    not).
    """
    nonblocking: ClassVar[bool] = False
    """Another name for `asynchronous`."""
    max_buffer: ClassVar[int] = 1024 * 1024
    """Bytes that may wait for a subscriber of a stream; one that lets more pile up is cut off, and
    comes back with its cursor.
    """
    heartbeat_interval: ClassVar[float | None] = 25.0
    """Seconds between two signs of life on a stream, less a jitter of up to a fifth; None for none.
    Not all transports have one.
    """
    max_stream_time: ClassVar[float | None] = None
    """Seconds after which a stream is ended, less a jitter of up to a tenth, for its client to come
    back with its cursor; None for no limit. A method that still writes then meets an
    `Error.ClientDisconnect`.
    """
    max_stream_size: ClassVar[int | None] = None
    """The same in bytes."""

    request: Request

    _gone = False
    _stream: Stream | None = None
    # The same while it is open.
    _live: Stream | None = None
    # The descriptor that `HangUps` watches.
    _watched: int | None = None
    # None until a queue serves this client.
    _watchers: list[peer.Watcher] | None = None

    @property
    def response(self) -> Response:
        """The status and the headers, as attributes."""
        # Made anew each time: kept, it would be a reference cycle for each request.
        return Response(self)

    def _client_gone(self) -> None:
        if self.peer_left():
            return
        self._gone = True
        self._live = None
        stream = self._iostream()
        if stream is not None and stream.error is not None:
            # Its frames may be ours: a reference cycle.
            stream.error.__traceback__ = None
        self._dismiss_watchers()
        try:
            self.on_connection_close()
        except Exception:
            self.log_exception(*sys.exc_info())
        if not self._finished and (self.asynchronous or self._stream is not None):
            self.finish()

    def stream_closed(self) -> None:
        self._client_gone()

    def stream_expired(self) -> bool:
        if any(watcher.busy() for watcher in self._watchers or ()):
            return False
        try:
            self.finish()
        except Exception:
            self.log_exception(*sys.exc_info())
        # As after a client that left, an endless loop ends here.
        self._gone = True
        return True

    def stream_blocked(self, blocked: bool) -> None:
        for watcher in self._watchers or ():
            watcher.blocked(blocked)

    def _iostream(self) -> IOStream | None:
        """Tornado's connection, as long as it is Tornado's."""
        return getattr(self.request.connection, "stream", None)

    def _has_closed(self) -> bool:
        """Whether Tornado knows that the client closed the connection."""
        stream = self._iostream()
        return stream is not None and stream.closed()

    def _hung_up(self) -> bool:
        """Whether the client closed the connection, noticed or not."""
        stream = self._iostream()
        return stream is not None and (stream.closed() or hung_up(stream.socket.fileno()))

    def _unwatch(self) -> None:
        if self._watched is not None:
            HangUps.current().forget(self._watched)
            self._watched = None

    def _hang_up(self) -> None:
        self._watched = None
        stream = self._iostream()
        if stream is not None:
            # Tornado's own way; it calls _client_gone.
            stream.close()

    def _dismiss_watchers(self) -> None:
        self._unwatch()
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
            self.request.slim()
        self._watchers.append(watcher)
        stream = self._iostream()
        if self._watched is None and stream is not None and not stream.closed():
            ask_peer(stream.socket)
            self._watched = stream.socket.fileno()
            HangUps.current().watch(self._watched, self._hang_up)
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

    def peer_room(self) -> int:
        return self.max_buffer // 4

    def peer_drain(self) -> Awaitable[None]:
        return DONE if self._live is None else self._live.drain()

    def peer_unsent(self, channel: str) -> str | None:
        return None if self._stream is None else self._stream.unsent(channel)

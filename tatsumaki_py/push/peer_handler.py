"""A `tornado.web.RequestHandler` that is the `Peer` of its queues: it knows whether its client is
still connected.

Rules:
1. `_gone` becomes true when the handler learns that the client left before the end of the answer.
2. The watchers are told in the same call; see `tatsumaki_py.push.peer_base`.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import ClassVar

import tornado.web

from tatsumaki_py.at_once import runs_here
from tatsumaki_py.body_encoding import EncodingHandler
from tatsumaki_py.counters import COUNTERS, Traffic, traffic
from tatsumaki_py.error import ClientDisconnect
from tatsumaki_py.message_queue import peer
from tatsumaki_py.push.client_connection import UNKNOWN, ClientConnection
from tatsumaki_py.push.counted import ANSWERED, CLOSED, EXPIRED, LOST
from tatsumaki_py.push.lazy_ui import LazyUI
from tatsumaki_py.push.peer_base import PeerBase
from tatsumaki_py.push.stray import Strays, stray_task
from tatsumaki_py.request import Request
from tatsumaki_py.response import Response

__all__ = ["PeerHandler"]

_log = logging.getLogger("tatsumaki")


class PeerHandler(PeerBase, EncodingHandler, LazyUI):
    """The part of a `Handler` that knows its client."""

    asynchronous: ClassVar[bool] = False
    """Whether the answer stays open after the method has returned, until `finish` is called.
    Subclasses inherit this (in Perl, they did not).
    """
    nonblocking: ClassVar[bool] = False
    """Another name for `asynchronous`."""

    request: Request
    """Tornado's request, which also has Tatsumaki's methods and attributes."""

    # The counters of the transport while the client waits for an answer. A `SubscribeHandler` sets
    # them.
    _polls: Traffic | None = None
    # `UNKNOWN` once a stream has taken over the connection.
    _client_connection: ClientConnection = UNKNOWN
    # Polls that began in a task that this request started. Few handlers have any.
    _strays: Strays | None = None
    # Whether `_too_late` has logged its line.
    _told_late = False

    @property
    def response(self) -> Response:
        """The status and the headers, as attributes."""
        # Made for each call: storing it would make a reference cycle for each request.
        return Response(self)

    def _too_late(self, call: str) -> None:
        """Log, once for each request, that `call` came after the end of the answer and does
        nothing. If the client left, log nothing, because the handler could not know. If the call is
        in a callback of a handler that is not `asynchronous`, log a warning, because the programmer
        probably forgot to set it.
        """
        if self._gone or self._told_late:
            return
        self._told_late = True
        if self.asynchronous or not _in_callback():
            _log.debug("%s after finish() does nothing: %s", call, self._request_line())
        else:
            _log.warning(
                "%s in a callback does nothing: the answer was finished when the method returned; "
                "set asynchronous = True in %s: %s",
                call,
                type(self).__name__,
                self._request_line(),
            )

    def _client_gone(self, lost: bool | None = None) -> None:
        if self._peer_left():
            return
        if lost is None:
            lost = self._client_connection.was_reset()
        self._gone = True
        self._live = None
        self._dismiss_watchers(lost)
        try:
            self.on_connection_close()
        except Exception:
            self.log_exception(*sys.exc_info())
        if not self._finished and (self.asynchronous or self._stream is not None):
            self._end()

    def _end(self) -> None:
        """Finish the answer. An exception in a user's override is logged, not raised."""
        try:
            self.finish()
        except Exception:
            self.log_exception(*sys.exc_info())

    def _stream_closed(self, lost: bool) -> None:
        self._client_gone(lost)

    def _stream_expired(self, retry: int | None) -> bool:
        if self._busy():
            return False
        if self._stream is not None and retry is None:
            self._stream.ends(EXPIRED)
        self._say_retry(retry)
        self._end()
        # As if the client had left: an endless loop in the method gets a `ClientDisconnect`.
        self._gone = True
        return True

    def _stream_cut(self) -> None:
        # For the access log only: the client has already received another status.
        self.set_status(503)

    def _dismiss_watchers(self, lost: bool = False, *, left: bool = False) -> None:
        if self._watchers is None:
            return
        self._client_connection.answers()
        # Warn only about polls: an `async for` over a stream may wait until the stream ends.
        over = self._stream is None and not (self._gone or left)
        answered = over and self.get_status() < 400
        if self._strays is not None and answered:
            self._strays.warn(type(self), self._request_line())
        self._end_poll(lost)
        super()._dismiss_watchers(lost, left=left)

    def _end_poll(self, lost: bool = False) -> None:
        """Count the end of the poll."""
        polls, self._polls = self._polls, None
        if polls is None or self._watchers is None:
            return
        if self._gone:
            polls.end(LOST if lost else CLOSED)
            return
        polls.end(ANSWERED)
        length = self._headers.get("Content-Length", "")
        polls.bytes += int(length) if length.isdecimal() else 0
        for watcher in self._watchers or ():
            polls.events += len(watcher.given)
            COUNTERS.delivered(watcher.given, since=self._stream_began)

    def _peer_cursor(self) -> str | None:
        return self.request.last_event_id

    def _peer_at(self, cursor: str) -> None:
        if self._headers_written:
            super()._peer_at(cursor)
        else:
            self._headers["Last-Event-ID"] = cursor

    def _peer_retry(self, seconds: int) -> None:
        if not self._headers_written and "Retry-After" not in self._headers:
            self.set_header("Retry-After", str(seconds))

    def _peer_watch(self, watcher: peer.Watcher) -> bool:
        if self._gone or self._finished or self.request.method == "HEAD":
            return False
        first = self._watchers is None
        if self._watchers is None:
            self._watchers = []
            if not self._headers_written and "Cache-Control" not in self._headers:
                self._headers["Cache-Control"] = "no-store"
            self._slim()
        self._watchers.append(watcher)
        if watcher.once and (first or self._polls is None) and not self._streams_messages:
            self._polls = self._polls or traffic("long-poll")
            self._polls.begin()
        task = stray_task()
        if task is not None:
            if self._strays is None:
                self._strays = Strays()
            self._strays.add(watcher, task)
        if not self._streams_messages:
            # Not for a stream of messages: it begins soon, and watches its connection itself.
            self._client_connection.waits()
        return True

    def _peer_unwatch(self, watcher: peer.Watcher) -> None:
        super()._peer_unwatch(watcher)
        if self._strays is not None:
            self._strays.discard(watcher)

    def _slim(self) -> None:
        """Use less memory, because thousands of requests may wait."""
        self.request.slim()
        # Tornado can rebuild this cache from the lists of values.
        self._headers._combined_cache.clear()
        self._give_ui_up()

    def _peer_left(self) -> bool:
        return self._gone or self._finished

    def _peer_over(self) -> bool:
        return self._finished and not self._gone

    def _peer_failed(self, error: BaseException) -> None:
        if self._finished:
            return
        if isinstance(error, ClientDisconnect):
            self._end()
            return
        code = error.status_code if isinstance(error, tornado.web.HTTPError) else 500
        try:
            self.send_error(code, exc_info=(type(error), error, error.__traceback__))
        except Exception:
            # See `_end`.
            self.log_exception(*sys.exc_info())

    def _peer_finish(self) -> None:
        if not self._finished:
            self._end()

    def _peer_ended(self) -> None:
        if not self._watchers:
            self._peer_finish()


def _in_callback() -> bool:
    """Whether a callback of the event loop is running, rather than a coroutine or a method that
    Tornado called.
    """
    try:
        return asyncio.current_task() is None and not runs_here()
    except RuntimeError:
        # No loop runs in this thread.
        return False

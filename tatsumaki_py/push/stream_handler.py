"""A handler whose answer becomes a stream: its connection is taken over.

Rules:
1. A stream of messages is opened by its first message, or after the method that asked for it has
   returned. Until it is opened, an exception in the method can be answered with an error.
2. While a stream is open, `_live` is its `Stream`, and the request has no connection.

Uses names that Tornado does not document: `_finished`, `_headers`,
`_headers_written`, `_log`, `_transforms`, `_write_buffer` (``t/handler/test_tornado_contract.py``).
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import sys
from collections.abc import Awaitable
from typing import Any

import tornado.web
from tornado.gen import is_coroutine_function

from tatsumaki_py.done import DONE, OVER
from tatsumaki_py.error import ClientDisconnect
from tatsumaki_py.message_queue.event import Entry, Event
from tatsumaki_py.message_queue.lead import LeadIn
from tatsumaki_py.message_queue.peer import Readable
from tatsumaki_py.push.client_connection import UNKNOWN
from tatsumaki_py.push.framing import JSON, TEXT, Framing, Option
from tatsumaki_py.push.peer_base import shows_events
from tatsumaki_py.push.peer_handler import PeerHandler
from tatsumaki_py.push.reading import Reading
from tatsumaki_py.push.sent_headers import SENT
from tatsumaki_py.push.stream import Stream
from tatsumaki_py.push.stream_head import PROMPT, send_shared_head
from tatsumaki_py.push.transports import MULTIPART, NDJSON, SSE, Streaming, asked

__all__ = ["StreamHandler"]


class StreamHandler(PeerHandler):
    """`stream_write` of a `Handler`, and the transports of its streams."""

    # None for a body without messages.
    _transport: Streaming | None = None
    _options = Option.NONE

    @property
    def mxhr(self) -> bool:
        """Whether the answer is a multipart stream."""
        return self._transport is MULTIPART

    def multipart_xhr_push(self, on: bool | None = None) -> bool:
        """With True, begin a multipart stream: each `stream_write` sends one part. Returns whether
        the answer is a multipart stream.

        Parts carry the ids of events if the client sent a cursor, even an empty one.
        Raises `RuntimeError` unless the class has ``asynchronous = True`` or the method is
        ``async def``.
        """
        return self._push(MULTIPART, on)

    def server_sent_events(self, on: bool | None = None, *, event_type: bool = False) -> bool:
        """With True, begin a stream of Server-Sent Events (WHATWG HTML 9.2), which an
        ``EventSource`` reads. Returns whether the answer is such a stream.

        Events have their ids. A gap is an event of type ``gap``. For a client that sent
        ``heartbeat=1``, heartbeats are events of type ``cursor``, like the first event of the
        stream. Raises `RuntimeError` as `multipart_xhr_push` does.

        Args:
            event_type: whether the ``type`` of an event is also its ``EventSource`` event type, for
                ``source.addEventListener("join", ...)``. By default, all published events
                are of type ``message``.
        """
        return self._push(SSE, on, Option.TYPES if event_type else Option.NONE)

    def json_lines(self, on: bool | None = None) -> bool:
        """With True, begin a stream of JSON texts, one per line (``application/x-ndjson``). Returns
        whether the answer is such a stream.

        An event is ``{"id": ..., "data": ...}``, a gap ``{"type": "gap", ...}``. A line that has
        only an ``id`` is a heartbeat. Raises `RuntimeError` as `multipart_xhr_push` does.
        """
        return self._push(NDJSON, on)

    def _push(
        self, transport: Streaming, on: bool | None = True, options: Option = Option.NONE
    ) -> bool:
        """With `on`, begin a stream of `transport`, with `options` in addition to those that the
        request asks for. Returns whether the answer is a stream of `transport`.
        """
        if on and self._transport is not transport:
            verb = str(self.request.method).lower()
            # The answer to a HEAD has no body, so any kind of method will do.
            stays = self.asynchronous or verb == "head" or self._is_coroutine(verb)
            if self._transport is not None:
                begun = self._transport.framing.content_type
                raise RuntimeError(f"this is already a stream of {begun}")
            if not stays:
                raise RuntimeError(
                    f"{transport.call} needs an answer that stays open: "
                    f"set asynchronous = True in {type(self).__name__}, or write async def {verb}"
                )
            if self._headers_written:
                if self._gone:
                    return True
                raise RuntimeError(f"{transport.call} must come before anything is sent")
            self._stream_as(transport, options)
            if verb == "head":
                self._open_stream()
            else:
                # Open the stream after the method, so that an error in the method can still be
                # answered.
                asyncio.get_running_loop().call_soon(self._begin_later)
        return self._transport is transport

    def _stream_as(self, transport: Streaming, options: Option) -> None:
        """Make the answer a stream of `transport`, which has not begun yet."""
        wanted = asked(self.request)
        self._transport = transport
        # Most requests ask for no options, and this check is faster than joining two flags.
        self._options = options if wanted is Option.NONE else options | wanted
        # Set the headers directly if possible: Tornado's `set_header` would check these values
        # again.
        own = type(self).set_header is not tornado.web.RequestHandler.set_header
        say = self.set_header if own else self._headers.__setitem__
        say("Content-Type", transport.framing.content_type)
        if "Cache-Control" not in self._headers:
            say("Cache-Control", PROMPT["Cache-Control"])

    def _is_coroutine(self, verb: str) -> bool:
        """Whether the method `verb` is a coroutine function, which Tornado awaits."""
        method = getattr(self, verb)
        return inspect.iscoroutinefunction(inspect.unwrap(method)) or is_coroutine_function(method)

    def _check_callbacks(self) -> None:
        """Raise a `RuntimeError` if a plain method returned and left the answer to the callback of
        a poll.
        """
        written = self._headers_written or self._write_buffer or self.get_status() != 200
        if self.asynchronous or written or any(watcher.busy() for watcher in self._watchers or ()):
            return
        verb = str(self.request.method).lower()
        if not self._is_coroutine(verb):
            raise RuntimeError(
                f"{type(self).__name__}.{verb}() returned while the callback of a poll was waiting "
                f"for events: set asynchronous = True in {type(self).__name__}, or write async def "
                f"{verb} and await poll_once without a callback"
            )

    def _begin_later(self) -> None:
        try:
            self._begin()
        except Exception as error:
            # The method has returned, so no other code would answer the client.
            self.log_exception(*sys.exc_info())
            self._peer_failed(error)

    def _begin(self) -> None:
        """If this is a stream of messages and it is not open yet, open it."""
        wanted = self._transport is not None and self.request.method != "HEAD"
        if wanted and self._stream is None and not self._peer_left():
            with contextlib.suppress(ClientDisconnect):
                self._open_stream()

    @shows_events
    def stream_write(self, chunk: Any = None, *more: Any) -> Awaitable[None]:
        """Send `chunk` now, and keep the answer open.

        Args:
            chunk: anything that `write` takes. In a multipart stream it is one part.
            more: further chunks. In a stream of messages each is one message.

        Returns:
            An awaitable that is already done while the client keeps up, and otherwise completes
            when the client has caught up. Await it, so that a slow client is not cut off
            (`max_buffer`).

        Raises:
            Error.ClientDisconnect: the client left. After `finish`, the call returns an awaitable
                that raises this exception: a coroutine that awaits the result ends, but a callback
                is not interrupted.
        """
        stream = self._live
        if stream is None:
            self._begin()
            stream = self._live
        plain = isinstance(chunk, (Entry, Event)) and not (self._reframes or more)
        if stream is not None and plain:
            return stream.send(chunk.entry)
        if isinstance(chunk, Entry):
            chunk = chunk.event()
        if stream is None:
            if self._gone:
                raise ClientDisconnect
            if self._finished:
                self._too_late("stream_write()")
                return OVER
        if more and (self._transport is not None or _any_event(chunk, *more)):
            for part in (chunk, *more[:-1]):
                self.stream_write(part)
            return self.stream_write(more[-1])
        # Encode before the headers are sent: encoding may set the content type, or fail.
        data = b"" if chunk is None and not more else self._chunk(chunk, *more)
        if stream is None:
            stream = self._open_stream()
            if stream is None:
                return DONE
            if plain:
                return stream.send(chunk.entry)
        if not data:
            return DONE
        if isinstance(chunk, Event):
            return stream.send_as(chunk.entry, data)
        return stream.write(data, JSON if isinstance(chunk, (dict, list, tuple)) else TEXT)

    def _open_stream(self) -> Stream | None:
        """Send the headers and take the connection over. None for a HEAD, whose answer has no
        body.
        """
        kind = Framing if self._transport is None else self._transport.framing
        frames: Framing = kind.of(self._options)
        cursor = self._headers.get("Last-Event-ID")
        chunks = frames.in_chunks()
        sent = None if self._headers_written else send_shared_head(self, chunks, cursor)
        if sent is None:
            sent = self._send_head(frames, cursor)
            if self.request.method == "HEAD":
                self.finish()
                # As if the client had left, so that an endless loop in the method ends.
                self._gone = True
                return None
            if self._headers.get("Transfer-Encoding") == "chunked":
                frames, sent = chunks, chunks.wire(sent)
        else:
            frames = chunks
        if self._client_connection.closed():
            self._client_gone()
            raise ClientDisconnect
        self._end_poll()
        stream = self._client_connection.take_over(frames, self.max_buffer, self)
        self._stream = self._live = stream
        self._client_connection = UNKNOWN
        # Drop what is no longer needed, because there are thousands of idle subscribers.
        self.request.connection = self.request.server_connection = None
        self._headers = SENT
        self._transforms = None  # type: ignore[assignment]
        if self._watchers is None:
            # The first poll of a request does this, but there was no poll.
            self._slim()
        if sent:
            stream.took(len(sent), 0)
        elif beginning := frames.begin(cursor):
            stream.write_wire(beginning)
        if self._reading is not None:
            self._reading.begin(stream)
        return stream

    def _send_head(self, frames: Framing, cursor: str | None) -> bytes:
        """Send the headers. Returns the beginning of the body if it was sent together with them,
        which saves a packet for each client that connects.
        """
        beginning = b""
        if not self._headers_written:
            self._prepare_headers()
            if self.request.method != "HEAD":
                self._headers["Connection"] = "close"
                # The program's own transforms must not see the framing's bytes.
                if not self._transforms:
                    beginning = frames.begin(cursor)
                    self._write_buffer.append(beginning)
            super().flush()
        elif "Content-Encoding" in self._headers:
            raise RuntimeError("stream_write() cannot continue an answer that flush() compressed")
        elif self._write_buffer:
            super().flush()
        return beginning

    @property
    def _streams_messages(self) -> bool:
        return self._transport is not None

    def _peer_read(self, readable: Readable, cursor: str, lead: LeadIn | None) -> Reading:
        reading = super()._peer_read(readable, cursor, lead)
        if self._live is None and readable.log.since(cursor, lead):
            # If there are events already, open the stream now, as a `stream_write` would.
            self._begin()
        return reading

    def _prepare_headers(self) -> None:
        for name, value in PROMPT.items():
            if name not in self._headers:
                self.set_header(name, value)
        if self.request.version == "HTTP/1.0":
            # In HTTP/1.0, only closing the connection marks the end of this answer.
            self.request.headers["Connection"] = "close"
        compression = tornado.web.GZipContentEncoding
        self._transforms = [t for t in self._transforms if not isinstance(t, compression)]

    def _close_stream(self) -> None:
        """Do the last steps of `tornado.web.RequestHandler.finish`, for whatever reason the stream
        ended.
        """
        self._finished = True
        self._live = None
        self._dismiss_watchers()
        try:
            self._log()
        finally:
            try:
                self.on_finish()
            finally:
                self.ui = None  # type: ignore[assignment]


def _any_event(*chunks: Any) -> bool:
    return any(isinstance(chunk, (Entry, Event)) for chunk in chunks)

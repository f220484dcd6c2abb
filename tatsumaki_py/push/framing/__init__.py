"""Bytes on the wire: the common part of all transports.

Rules:
1. A framing uses no socket and no clock, and keeps no state of a subscriber. All subscribers with
   the same options share one instance, so an event is framed once for all of them.
2. The results of `frame`, `begin`, `at`, `heartbeat`, `goodbye` and `wire` go to the socket
   unchanged: `chunked` framings add the chunk sizes of HTTP/1.1 (RFC 9112 7.1).
3. A body that is not an event has no id, so the client's cursor stays where it is.
"""

from __future__ import annotations

from enum import Flag, auto
from typing import ClassVar, Self

from tatsumaki_py.counters import traffic
from tatsumaki_py.message_queue.event import Entry
from tatsumaki_py.push.framing.json_text import NO_JSON, own_form

__all__ = ["JSON", "LAST_CHUNK", "TEXT", "Framing", "Option"]

JSON, TEXT = "application/json", "text/plain; charset=UTF-8"
"""The content types of a body."""
LAST_CHUNK = b"0\r\n\r\n"


class Option(Flag):
    """Options of a stream. A framing ignores the options that it does not know."""

    NONE = 0
    CHUNKED = auto()
    """HTTP/1.1: each write is a chunk, with its length."""
    IDS = auto()
    """The client has sent a cursor, so it understands ids, which the original's client does not
    expect.
    """
    TYPES = auto()
    """The ``type`` of an event is also its ``EventSource`` event type."""
    HEARTBEATS = auto()
    """Heartbeats are messages that the JavaScript of a page can see."""
    TEXT = auto()
    """A string event is sent as that string, not as JSON."""
    PLAIN = auto()
    """Messages are the events as they were published. Neither ids nor places are sent."""


class Framing:
    """The body as it is: no parts, no ids. A transport is a subclass; see
    `tatsumaki_py.push.transports`.

    Get an instance with `of`.
    """

    transport: ClassVar[str] = "stream"
    """The name of the transport in metrics and in the access log."""
    content_type: ClassVar[str]
    knows: ClassVar[Option] = Option.CHUNKED
    """The options that this framing knows."""
    has_heartbeat: ClassVar[bool] = False
    """Whether the transport has a heartbeat."""
    last: ClassVar[bytes] = LAST_CHUNK
    """The end of a chunked stream."""

    def __init__(self, options: Option = Option.NONE) -> None:
        self.options = options
        self.chunked = Option.CHUNKED in options
        self.traffic = traffic(self.transport)
        """The counters of the streams with this framing."""
        self._in_chunks: Framing | None = None

    @classmethod
    def of(cls, options: Option = Option.NONE) -> Self:
        """The one instance for these options."""
        made = _made.get((cls, options))
        if made is None:
            known = options & cls.knows
            made = _made.get((cls, known)) or cls(known)
            _made[cls, known] = _made[cls, options] = made
        assert isinstance(made, cls)
        return made

    def in_chunks(self) -> Framing:
        """The instance for the same options and `Option.CHUNKED`."""
        # Cached, because joining the options and looking up the instance takes longer.
        if self._in_chunks is None:
            self._in_chunks = self.of(self.options | Option.CHUNKED)
        return self._in_chunks

    def wire(self, data: bytes) -> bytes:
        """`data` as it goes to the socket."""
        return b"%x\r\n%b\r\n" % (len(data), data) if self.chunked and data else data

    def frame(self, event: Entry) -> bytes:
        """An event as it goes to the socket."""
        frame = event.frame(self)
        if frame is None:
            frame = event.keep_frame(self, self.wire(self.event(event)))
        return frame

    def event(self, event: Entry, payload: bytes | None = None) -> bytes:
        """An event as one message of the transport.

        Args:
            payload: the text that a handler made of the event; by default, the event as it was
                published.
        """
        if payload is None:
            return self.part(event.payload, JSON, event.id)
        payload, value = own_form(event, payload)
        return self.part(payload, TEXT if value is NO_JSON else JSON, event.id)

    def part(self, body: bytes, content_type: str, id: str | None = None) -> bytes:
        """A body as one message of the transport."""
        return body

    def begin(self, cursor: str | None) -> bytes:
        """The first bytes, for a client that is at `cursor`, as they go to the socket."""
        return b""

    def at(self, cursor: str) -> bytes:
        """The bytes on the socket that tell a client its cursor."""
        return b""

    def heartbeat(self, cursor: str) -> bytes:
        """The bytes on the socket that tell the client of an idle stream that the server is alive.

        Args:
            cursor: where the client is; "" if that is not known.
        """
        return b""

    def goodbye(self, cursor: str, retry: int) -> bytes:
        """The bytes on the socket before the end of a stream, if the stream ends because the server
        stops.

        Args:
            cursor: where the client is; "" if that is not known.
            retry: milliseconds after which the client should reconnect.
        """
        return b""


_made: dict[tuple[type[Framing], Option], Framing] = {}
"""The instances by options. One instance has several keys, because a framing ignores the options
that it does not know.
"""

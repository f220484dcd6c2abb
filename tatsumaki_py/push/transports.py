"""The table of transports.

`TRANSPORTS` drives the negotiation of `SubscribeHandler`, the methods of `Handler` that begin a
stream, their framing, and the table in ``docs/guide/subscribing.md``. A new transport is a subclass
of `Framing` and a row here.
"""

from __future__ import annotations

from dataclasses import dataclass

from tatsumaki_py.push.framing import Framing, Option
from tatsumaki_py.push.framing.json_lines import JSONLines
from tatsumaki_py.push.framing.multipart import Multipart
from tatsumaki_py.push.framing.server_sent_events import ServerSentEvents
from tatsumaki_py.push.framing.websocket import WebSocket
from tatsumaki_py.request import Request

__all__ = [
    "INTERVAL_POLL",
    "LONG_POLL",
    "MULTIPART",
    "NDJSON",
    "SSE",
    "TRANSPORTS",
    "WEBSOCKET",
    "Handshake",
    "Poll",
    "Streaming",
    "Transport",
    "asked",
]


@dataclass(frozen=True, eq=False)
class Transport:
    """One row of the table."""

    name: str
    """The value of the parameter ``transport``."""
    gives: str
    """The form in which a client gets events, for the documentation."""
    media_types: tuple[str, ...] = ()
    """The entries of an ``Accept`` header that ask for it, the usual one first."""
    by: str = ""
    """How a client asks for it without the parameter ``transport``, for the documentation; "" for
    an ``Accept`` header with the first of `media_types`.
    """


@dataclass(frozen=True, eq=False, kw_only=True)
class Poll(Transport):
    """Answered once, with a JSON list of events."""

    waits: bool = True
    """Whether it waits for an event."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Streaming(Transport):
    """An answer that stays open."""

    framing: type[Framing]
    """The class that turns events into messages."""
    method: str = ""
    """The method of `Handler` that begins it, if there is one."""

    @property
    def call(self) -> str:
        """The call that begins it, for error messages."""
        return f"{self.method}(True)" if self.method else f"the transport {self.name}"


@dataclass(frozen=True, eq=False, kw_only=True)
class Handshake(Transport):
    """A WebSocket, which begins with a handshake."""

    framing: type[WebSocket]


SSE = Streaming(
    "sse",
    "Server-Sent Events, for an `EventSource`",
    ("text/event-stream", "text/*"),
    framing=ServerSentEvents,
    method="server_sent_events",
)
WEBSOCKET = Handshake(
    "websocket",
    "one text message for each event",
    by="the handshake (`Upgrade: websocket`)",
    framing=WebSocket,
)
NDJSON = Streaming(
    "ndjson",
    "one line of JSON for each event",
    ("application/x-ndjson", "application/ndjson", "application/jsonl"),
    framing=JSONLines,
    method="json_lines",
)
MULTIPART = Streaming(
    "multipart",
    "one part for each event, as in Tatsumaki",
    ("multipart/mixed", "multipart/*"),
    framing=Multipart,
    method="multipart_xhr_push",
)
LONG_POLL = Poll(
    "long-poll",
    "a JSON list, as soon as there are events; `[]` after 25 s",
    ("application/json", "application/*", "*/*"),
    by="`Accept: application/json`, `*/*` or nothing",
)
INTERVAL_POLL = Poll(
    "interval-poll", "a JSON list, immediately", by="`long-poll` with `timeout=0`", waits=False
)

TRANSPORTS: dict[str, Transport] = {
    row.name: row for row in (SSE, WEBSOCKET, NDJSON, MULTIPART, LONG_POLL, INTERVAL_POLL)
}
"""All rows by name."""


def asked(request: Request) -> Option:
    """The options that a request asks for, whichever handler answers it."""
    options = Option.IDS if request.knows_cursors else Option.NONE
    return options | Option.HEARTBEATS if request.param("heartbeat") == "1" else options

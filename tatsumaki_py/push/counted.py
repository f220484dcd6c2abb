"""The counters of one stream, its owner, and the reason for its end.

Rules:
1. A cohort counts once for all its members (`push/member.py`). The bytes that a stream sends
   without its cohort are counted here.
2. Events are counted when the kernel has taken the last byte of the data that contains them.
3. If several reasons for the end of a stream are reported, the first one counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tatsumaki_py.counters import COUNTERS
from tatsumaki_py.push.framing import Framing
from tatsumaki_py.push.owner import Owner, Tail

__all__ = [
    "ANSWERED",
    "CLOSED",
    "CUT",
    "EXPIRED",
    "FAILED",
    "FINISHED",
    "LOST",
    "PROTOCOL_ERROR",
    "SLOW",
    "TOO_BIG",
    "Counted",
    "StreamInfo",
]

ANSWERED = "answered"
"""The usual reason for the end of a long poll."""
# The reasons for the end of a stream, as they appear in metric labels and in the access log.
CLOSED = "closed"  # by the client, cleanly
LOST = "lost"  # the connection was reset or timed out
SLOW = "slow"  # cut off: too many bytes were waiting for the client
FAILED = "failed"  # cut off: the program raised an exception
TOO_BIG = "too_big"  # cut off: the client sent a message that is too big
PROTOCOL_ERROR = "protocol_error"  # cut off: the client broke the WebSocket protocol
CUT = "cut"  # cut off: the server stopped, and `grace` ran out
EXPIRED = "expired"  # by `max_stream_time`
FINISHED = "finished"  # by the server, for another reason


class StreamInfo(NamedTuple):
    """The counters of a stream.

    Attributes:
        transport: ``sse``, ``websocket``, ``ndjson``, ``multipart``, or ``stream`` for a body
            without messages.
        events: the number of events whose bytes the kernel has taken.
        bytes: the number of bytes that the kernel has taken, excluding the headers.
        end: the reason why the stream ended: ``closed``, ``lost``, ``slow``, ``failed``,
            ``too_big``, ``protocol_error``, ``cut``, ``expired`` or ``finished``; "" while it is
            open.
    """

    transport: str
    events: int
    bytes: int
    end: str

    def __str__(self) -> str:
        return f"{self.transport} {self.end or 'open'}, {self.events} events, {self.bytes} bytes"


class Counted:
    """The counters of one stream, its owner, and the log that it reads."""

    __slots__ = ("_owner", "end", "framing", "sent_bytes", "sent_events", "tail")

    def __init__(self, framing: Framing, owner: Owner) -> None:
        self._owner: Owner | None = owner
        self.framing = framing
        self.tail: Tail | None = None
        """The log that the stream reads itself."""
        self.sent_events = 0
        """The number of events, excluding those that the cohort of the stream has not reported yet
        (`Tail.settle`).
        """
        self.sent_bytes = 0
        """The number of bytes, excluding those that the cohort has not reported yet."""
        self.end = ""
        """The reason why the stream ended; "" while it is open."""
        framing.traffic.begin()

    @property
    def info(self) -> StreamInfo:
        """The counters so far."""
        if self.tail is not None:
            self.tail.settle()
        return StreamInfo(self.framing.transport, self.sent_events, self.sent_bytes, self.end)

    @property
    def over(self) -> bool:
        """Whether the stream has ended or was cut off. In either case, it has no owner."""
        return self._owner is None

    def tell_late(self, cursor: str) -> None:
        """The stream does not keep up with the log, and will get the events after `cursor`."""
        if self._owner is not None:
            self._owner._stream_reads(cursor)

    def answers(self) -> bool:
        """See `Owner._stream_answers`."""
        return self._owner is not None and self._owner._stream_answers()

    def took(self, size: int, events: int) -> None:
        """The kernel has taken `size` bytes, with the last bytes of `events` events."""
        traffic = self.framing.traffic
        self.sent_bytes += size
        self.sent_events += events
        traffic.bytes += size
        traffic.events += events

    def look_at(self, times: Sequence[float], clients: int = 1) -> None:
        """Add events that were published at `times` to the histogram; the stream represents
        `clients` clients.
        """
        if self._owner is not None:
            COUNTERS.delivered(times, clients, since=self._owner._stream_began)

    def ends(self, reason: str) -> None:
        """The stream ends for `reason`, unless it has already ended."""
        if not self.end:
            self.end = reason
            self.framing.traffic.end(reason)

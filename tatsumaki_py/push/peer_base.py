"""The common part of `Handler` and `WebSocketHandler` as a `tatsumaki_py.message_queue.peer.Peer`,
and the settings of their streams.

Rule: each `Watcher` of a client is told once how the answer ended: it was completed, or the client
left.

Uses names that Tornado does not document: `_request_summary`
(``t/handler/test_tornado_contract.py``).
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar

from tatsumaki_py.done import DONE
from tatsumaki_py.logger import logged
from tatsumaki_py.message_queue.lead import LeadIn
from tatsumaki_py.message_queue.peer import Readable, Watcher
from tatsumaki_py.push.counted import StreamInfo
from tatsumaki_py.push.hangup import unacknowledged
from tatsumaki_py.push.reading import Reading
from tatsumaki_py.push.stream import Stream
from tatsumaki_py.request import Request

__all__ = ["PeerBase", "shows_events"]

_log = logging.getLogger("tatsumaki")

MAX_PLACES = 1000
"""The most places that are remembered for one request."""

_Method = TypeVar("_Method", bound=Callable[..., Any])


# A set rather than a mark on the methods, which `functools.wraps` would copy to a user's wrapper.
_showing: set[object] = set()


def shows_events(method: _Method) -> _Method:
    """Mark a method of this package that does nothing but write the events that it is given."""
    _showing.add(method)
    return method


class PeerBase:
    """Keeps the watchers of one client and its places in the logs."""

    stream_write: Callable[..., Awaitable[None]]
    # Whether the handler encodes events in its own way.
    _reframes: bool

    max_buffer: int = 1024 * 1024
    """The most bytes that may wait for the client of a stream. If a callback writes more, the
    stream is cut off, and its client reconnects with its cursor. A stream that reads the log itself
    is not cut off: it reads a slice of a quarter of `max_buffer`, sends it, and reads the next.
    """
    heartbeat_interval: float | None = 25.0
    """Seconds between two heartbeats of a stream, less a jitter of up to a fifth; None for no
    heartbeats. Some transports never have any.
    """
    max_stream_time: float | None = None
    """Seconds after which a stream ends, less a jitter of up to a tenth, so that its client
    reconnects with its cursor; None for no limit. A method that continues to write gets an
    `Error.ClientDisconnect`.
    """

    # Whether the client is known to have left before the end of the answer.
    _gone = False
    _stream: Stream | None = None
    # `_stream` while it is open, else None.
    _live: Stream | None = None
    # The client's cursor in each log, by log and name, if it polled before in this request.
    _places: dict[tuple[Hashable, str | None], str] | None = None
    # The reading of the log that the stream reads itself, or will read when it is open.
    _reading: Reading | None = None
    # None until a queue serves this client.
    _watchers: list[Watcher] | None = None

    request: Request

    @property
    def stream_info(self) -> StreamInfo | None:
        """The counters of the stream so far, for a ``log_function``; None without a stream."""
        return None if self._stream is None else self._stream.info

    def _request_summary(self) -> str:
        # For a stream, the access log calls this when the stream has ended.
        info = self.stream_info
        return f"{self._request_line()} {info}" if info and info.end else self._request_line()

    def _request_line(self) -> str:
        """The request, for log lines other than the access log."""
        return logged(super()._request_summary())  # type: ignore[misc]

    def _compact(self) -> None:
        """Make the `__dict__` of this handler smaller, if possible. A dict that grew step by step
        has room for three times as many items. (A dict that shares its keys with the class is
        smaller still, and stays.)
        """
        small = dict(vars(self))
        if sys.getsizeof(small) < sys.getsizeof(vars(self)):
            self.__dict__ = small

    @property
    def _stream_began(self) -> float:
        return time.monotonic() - self.request.request_time()

    def _stream_blocked(self, blocked: bool) -> None:
        for watcher in self._watchers or ():
            watcher.blocked(blocked)

    def _stream_reads(self, cursor: str) -> None:
        for watcher in self._watchers or ():
            watcher.reads(cursor)

    def _stream_cursor(self) -> str:
        watchers = self._watchers or ()
        # A client that resumed at the cursor of one queue would miss events of the others.
        return watchers[0].cursor() if len(watchers) == 1 else ""

    def _busy(self) -> bool:
        """Whether events are in flight to the client."""
        return any(watcher.busy() for watcher in self._watchers or ())

    def _waits(self) -> bool:
        """Whether the request only waits for events."""
        return bool(self._watchers) and not self._busy()

    def _stream_answers(self) -> bool:
        return not (self._watchers or self._streams_messages)

    def _say_retry(self, retry: int | None) -> None:
        """Tell the client how long to wait before it reconnects: its stream is about to end."""
        if retry is not None and self._live is not None:
            goodbye = self._live.framing.goodbye(self._stream_cursor(), retry)
            if goodbye:
                self._live.write_wire(goodbye)

    def _dismiss_watchers(self, lost: bool = False, *, left: bool = False) -> None:
        """Tell the watchers how the answer ended. With `left`, the client counts as gone even if it
        is still connected.
        """
        watchers, self._watchers = self._watchers or [], []
        for watcher in watchers:
            try:
                if self._gone or left:
                    watcher.left(lost)
                else:
                    watcher.served()
            except Exception:
                _log.exception("a queue could not be told that its client is gone")

    def _peer_retry(self, seconds: int) -> None:
        """Nothing to do: a stream sends the delay in its own format; see `_say_retry`."""

    def _peer_place(self, log: Hashable, name: str | None) -> str | None:
        return None if self._places is None else self._places.get((log, name))

    def _peer_given(self, log: Hashable, name: str | None, cursor: str) -> None:
        if self._places is None:
            self._places = {}
        self._places[log, name] = cursor
        if len(self._places) > MAX_PLACES:
            del self._places[next(iter(self._places))]

    def _peer_at(self, cursor: str) -> None:
        if self._live is not None:
            place = self._live.framing.at(cursor)
            if place:
                self._live.write_wire(place)

    def _peer_unwatch(self, watcher: Watcher) -> None:
        if self._watchers and watcher in self._watchers:
            self._watchers.remove(watcher)

    def _peer_room(self) -> int:
        return self.max_buffer // 4

    def _peer_drain(self) -> Awaitable[None]:
        return DONE if self._live is None else self._live.drain()

    def _peer_in_doubt(self) -> bool:
        return self._live is not None and unacknowledged(self._live.wire.fileno())

    def _peer_unsent(self, log: Hashable) -> str | None:
        return None if self._stream is None else self._stream.unsent(log)

    def _peer_reads(self, callback: Callable[..., Any]) -> bool:
        free = self._reading is None or self._reading.stopped
        mine = getattr(callback, "__self__", None) is self
        # A `stream_write` that a subclass overrides is not marked, because it may do anything.
        calls = (callback, self.stream_write)
        shows = all(getattr(call, "__func__", None) in _showing for call in calls)
        return free and mine and shows and self._streams_messages and not self._reframes

    @property
    def _streams_messages(self) -> bool:
        """Whether the stream has messages, each with its own end."""
        return True

    def _peer_read(self, readable: Readable, cursor: str, lead: LeadIn | None) -> Reading:
        reading = self._reading = Reading(readable, cursor, lead)
        if self._live is not None:
            reading.begin(self._live)
        return reading

"""Decides when the streams of an event loop send.

Rules:
1. The writes of a burst are joined: a burst costs one `send` per subscriber instead of one per
   event. A stream that gets something to send is put into `dirty` once, and sends everything when
   the loop has been quiet for `QUIET` iterations, a delay too short to notice. A `Batch` does the
   same for all of its streams. If the burst continues, the flusher sends after `PATIENCE` seconds,
   or after `SHARE` times the duration of the last pass if that is longer, but after `MAX_PATIENCE`
   at the latest. Waiting is cheap, because sending many events costs as much as sending a few.
2. A pass over many streams stops after `SLICE` seconds and continues in the next iteration, so that
   other callbacks run in between. Streams and batches take turns.
3. A stream that fails is cut off, and the pass continues. Even if a pass fails, another pass serves
   every stream and batch that still has something to send.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Protocol

from tatsumaki_py.counters import any_of
from tatsumaki_py.message_queue.event import Entry
from tatsumaki_py.push.framing import Framing
from tatsumaki_py.push.per_loop import per_loop
from tatsumaki_py.push.pile import Pile, piled

__all__ = ["GROUP", "Batch", "Flusher", "Sending"]

QUIET = 4
PATIENCE, MAX_PATIENCE = 0.005, 0.02
SHARE = 4
SLICE = 0.002
GROUP = 64
"""The number of streams that are served before the clock is read again."""


class Sending(Protocol):
    """A stream, as the flusher sees it."""

    wire: socket.socket
    framing: Framing
    waiting: Entry | Pile | None
    sent_bytes: int
    sent_events: int

    def look_at(self, times: Sequence[float], clients: int = 1) -> None:
        """Add events that were published at `times` to the histogram; the stream represents
        `clients` clients.
        """

    def flush(self) -> None:
        """Send the waiting data."""

    def keep(self, data: bytes, sent: int, pile: Pile) -> None:
        """The kernel took only `sent` bytes of `data`, the bytes of the events in `pile`."""

    def fail(self, error: BaseException) -> None:
        """`error` was raised while this stream was sending: cut it off."""


class Batch(Protocol):
    """Streams that are served together."""

    def serve(self) -> Iterator[None]:
        """Send to all of them, yielding after each `GROUP`. If there is more to send, the batch
        adds itself to the flusher again.
        """


class Flusher:
    """Sends what the streams of one event loop have to send."""

    def __init__(self) -> None:
        self.dirty: list[Sending] = []
        """The streams that have something to send. The list is never replaced. A stream calls
        `wake` before it adds itself to an empty list.
        """
        self.activity = 0
        """Incremented whenever a batch gets more to send, so that the flusher sees that a burst
        has not ended yet.
        """
        self.sample = 1
        """The number of streams that the stream being flushed represents in the histogram."""
        self.silent: set[Sending] = set()
        """The open streams that have no heartbeat; the wheel has the others."""
        self._batches: list[Batch] = []
        # The batches of this pass, and the batch that is being served.
        self._due: deque[Batch] = deque()
        self._serving: Iterator[None] | None = None
        self._batches_first = False
        self._seen = (0, 0, 0, 0)
        self._quiet = 0
        self._patience = PATIENCE
        self._deadline = 0.0
        self._took = 0.0
        self._awake = False
        self._loop = asyncio.get_running_loop()

    @classmethod
    def current(cls) -> Flusher:
        """The flusher of the running loop."""
        return per_loop(cls)

    def add(self, batch: Batch) -> None:
        """`batch` has something to send."""
        self._batches.append(batch)
        self.wake()

    def wake(self) -> None:
        """There will be something to send."""
        if not self._awake and not self._loop.is_closed():
            self._awake = True
            self._quiet = 0
            self._deadline = time.monotonic() + self._patience
            self._loop.call_soon(self._wait)

    def _wait(self) -> None:
        # A burst continues while more streams become dirty, or dirty streams get more to send.
        dirty = self.dirty
        first, last = (_amount(dirty[0]), _amount(dirty[-1])) if dirty else (0, 0)
        seen = (self.activity, len(dirty), first, last)
        self._quiet = self._quiet + 1 if seen == self._seen else 0
        self._seen = seen
        if self._quiet < QUIET and time.monotonic() < self._deadline:
            self._loop.call_soon(self._wait)
        else:
            self._send()

    def _send(self) -> None:
        # CPU time: a pass that only took long because other processes ran must not delay the next.
        began = time.process_time()
        end = time.monotonic() + SLICE
        self._batches_first = not self._batches_first
        try:
            if self._batches_first:
                self._serve_batches(end)
                self._serve_streams(end)
            else:
                self._serve_streams(end)
                self._serve_batches(end)
        finally:
            self._awake = bool(self.dirty or self._batches or self._due or self._serving)
            self._took += time.process_time() - began
            if self._awake:
                self._loop.call_soon(self._send)
            else:
                self._patience = min(max(PATIENCE, SHARE * self._took), MAX_PATIENCE)
                self._took = 0.0

    def _serve_batches(self, end: float) -> None:
        self._due.extend(self._batches)
        self._batches.clear()
        while time.monotonic() <= end:
            if self._serving is None:
                if not self._due:
                    return
                self._serving = self._due.popleft().serve()
            for _ in self._serving:
                if time.monotonic() > end:
                    return
            self._serving = None

    def _serve_streams(self, end: float) -> None:
        streams = self.dirty[:]
        self.dirty.clear()
        start = 0
        try:
            while start < len(streams) and time.monotonic() <= end:
                group = streams[start : start + GROUP]
                start += GROUP
                self._send_to(group)
        finally:
            self.dirty[:0] = streams[start:]

    def _send_to(self, streams: list[Sending]) -> None:
        # Most streams have the same event to send.
        last: Entry | None = None
        framing: Framing | None = None
        data, size = b"", 0
        took: list[Sending] = []
        # Of the streams with more than one event, one represents all in the histogram.
        sampled = any_of(streams)
        for stream in streams:
            try:
                if stream.waiting is not last or stream.framing is not framing:
                    event = stream.waiting
                    if not isinstance(event, Entry):
                        self.sample = len(streams) if stream is sampled else 0
                        stream.flush()
                        self.sample = 1
                        continue
                    _count(took, last, size)
                    took = []
                    data = stream.framing.frame(event)
                    last, framing, size = event, stream.framing, len(data)
                try:
                    # Caching `wire.send` in the stream would not be faster.
                    sent = stream.wire.send(data)
                except OSError:
                    # The kernel's buffer is full or the peer has left: `flush` finds out which.
                    stream.flush()
                    continue
                stream.waiting = None
                if sent == size:
                    stream.sent_bytes += size
                    stream.sent_events += 1
                    took.append(stream)
                elif last is not None:
                    stream.keep(data, sent, piled(last, stream.framing))
            except BaseException as error:
                self.sample = 1
                stream.fail(error)
                if not isinstance(error, Exception):
                    self.dirty[:0] = streams[streams.index(stream) + 1 :]
                    raise
        _count(took, last, size)


def _count(streams: list[Sending], event: Entry | None, size: int) -> None:
    """The kernel has taken `event`, in `size` bytes, for each of `streams`. For the histogram, one
    stream represents all of them.
    """
    if not streams or event is None:
        return
    traffic = streams[0].framing.traffic
    traffic.bytes += size * len(streams)
    traffic.events += len(streams)
    any_of(streams).look_at((event.time,), len(streams))


def _amount(stream: Sending) -> int:
    waiting = stream.waiting
    return 1 if waiting is None or isinstance(waiting, Entry) else len(waiting.parts)

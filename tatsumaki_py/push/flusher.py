"""When the streams of an event loop send.

Rules:
1. Writes of one moment are joined: a stream that gets something to send is put into `dirty` once,
   and sends all it has when the loop has been quiet for `QUIET` iterations, or after `PATIENCE`
   seconds. One event waits for no visible time; a burst costs one `send` a subscriber, not one an
   event.
2. A pass over many streams stops after `SLICE` seconds and goes on in the next iteration: others
   have their turn.
3. A stream that fails is cut off, and the pass goes on. However a pass ends, what is still in
   `dirty` is sent by another one.
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

from tatsumaki_py.message_queue.event import Entry
from tatsumaki_py.push.framing import Framing
from tatsumaki_py.push.per_loop import per_loop
from tatsumaki_py.push.pile import Pile

__all__ = ["Flusher", "Sending", "Wire"]

QUIET = 4
PATIENCE = 0.005
SLICE = 0.002
GROUP = 64
"""Streams that are sent to between two looks at the clock."""


class Wire(Protocol):
    """What takes the bytes of a stream: its socket, or what stands before it."""

    def send(self, data: bytes | memoryview, /) -> int:
        """As `socket.socket.send`."""


class Sending(Protocol):
    """A stream, as the flusher sees it."""

    wire: Wire
    framing: Framing
    waiting: Entry | Pile | None

    def flush(self) -> None:
        """Send what waits."""

    def keep(self, event: Entry, data: bytes, sent: int) -> None:
        """`event`, which looks like `data`, was all that waited, and was not sent to its end."""

    def fail(self, error: BaseException) -> None:
        """`error` was raised while it was sending: cut it off."""


class Flusher:
    """Sends what the streams of one event loop have to send."""

    def __init__(self) -> None:
        self.dirty: list[Sending] = []
        """The streams that have something to send; always the same list. The first one to be added
        calls `wake` before.
        """
        self._seen = (0, 0, 0)
        self._quiet = 0
        self._deadline = 0.0
        self._sending = False

    @classmethod
    def current(cls) -> Flusher:
        """That of the running loop."""
        return per_loop(cls)

    def wake(self) -> None:
        """There will be something to send."""
        if not self._sending:
            self._quiet = 0
            self._deadline = time.monotonic() + PATIENCE
            asyncio.get_running_loop().call_soon(self._wait)

    def _wait(self) -> None:
        # A burst makes more streams dirty, or gives more to those that are.
        dirty = self.dirty
        if not dirty:
            return
        seen = (len(dirty), _amount(dirty[0]), _amount(dirty[-1]))
        self._quiet = self._quiet + 1 if seen == self._seen else 0
        self._seen = seen
        if self._quiet < QUIET and time.monotonic() < self._deadline:
            asyncio.get_running_loop().call_soon(self._wait)
        else:
            self._send()

    def _send(self) -> None:
        self._sending = True
        streams = self.dirty[:]
        self.dirty.clear()
        end = time.monotonic() + SLICE
        start = 0
        try:
            while start < len(streams) and time.monotonic() <= end:
                group = streams[start : start + GROUP]
                start += GROUP
                self._send_to(group)
        finally:
            self.dirty[:0] = streams[start:]
            self._sending = bool(self.dirty)
            if self._sending:
                asyncio.get_running_loop().call_soon(self._send)

    def _send_to(self, streams: list[Sending]) -> None:
        # Most have the same event to send.
        last: Entry | None = None
        framing: Framing | None = None
        data, size = b"", 0
        for stream in streams:
            try:
                if stream.waiting is not last or stream.framing is not framing:
                    event = stream.waiting
                    if not isinstance(event, Entry):
                        stream.flush()
                        continue
                    data = event.frames.get(stream.framing) or stream.framing.frame(event)
                    last, framing, size = event, stream.framing, len(data)
                try:
                    # A method that is kept is one more thing to fetch for each stream.
                    sent = stream.wire.send(data)
                except OSError:
                    # Would it block, or is the peer gone? The stream finds out.
                    stream.flush()
                    continue
                stream.waiting = None
                if sent != size and last is not None:
                    stream.keep(last, data, sent)
            except BaseException as error:
                stream.fail(error)
                if not isinstance(error, Exception):
                    self.dirty[:0] = streams[streams.index(stream) + 1 :]
                    raise


def _amount(stream: Sending) -> int:
    waiting = stream.waiting
    return 1 if waiting is None or isinstance(waiting, Entry) else len(waiting.parts)

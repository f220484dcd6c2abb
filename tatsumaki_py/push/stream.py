"""One subscriber's socket, after its HTTP connection has let go of it.

Rules:
1. Only a `Stream` writes to its socket. While the kernel takes all, bytes go straight to it; once
   it does not, all goes through the `IOStream`, in order, until that is empty.
2. Writes of one moment are joined: the first makes the stream dirty, a `Flusher` (one a loop) sends
   once the loop has been quiet for `QUIET` iterations, or after `PATIENCE` seconds.
3. What is not sent is bounded by `max_buffer` bytes; a subscriber that lets more pile up is cut off
   and comes back with its cursor.
4. `on_close` is called once: when the peer went, or was cut off. Not after `finish` or `abort`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import time
import weakref
from collections.abc import Awaitable, Callable, Generator
from typing import Any, ClassVar

from tornado.iostream import IOStream, StreamClosedError

from tatsumaki_py.message_queue.event import Event
from tatsumaki_py.push.framing import LAST_CHUNK, Framing

__all__ = ["DONE", "Done", "Stream"]

QUIET = 4
PATIENCE = 0.005
SLICE = 0.005
"""Seconds that one pass over the subscribers may take before others have their turn."""
GROUP = 64
"""Streams that are sent to between two looks at the clock."""
FEW = 64
SMALL = 4096
"""Parts, and bytes of one, up to which nobody counts what waits for a moment."""
READ_SIZE = 4096

_log = logging.getLogger("tatsumaki")


class Done:
    """An awaitable that is done."""

    def done(self) -> bool:
        return True

    def __await__(self) -> Generator[Any, None, None]:
        return
        yield


DONE = Done()


class Flusher:
    """Sends what the streams of one event loop have to send."""

    _of_loop: ClassVar[weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Flusher]] = (
        weakref.WeakKeyDictionary()
    )

    def __init__(self) -> None:
        self.dirty: list[Stream] = []
        """Those who have something to send, in order; always the same list. Who comes first calls
        `wake` before.
        """
        self._seen = (0, 0, 0)
        self._quiet = 0
        self._deadline = 0.0
        self._sending = False

    @classmethod
    def current(cls) -> Flusher:
        """That of the running loop."""
        loop = asyncio.get_running_loop()
        flusher = cls._of_loop.get(loop)
        if flusher is None:
            flusher = cls._of_loop[loop] = cls()
        return flusher

    def wake(self) -> None:
        """There will be something to send."""
        if not self._sending:
            self._quiet = 0
            self._deadline = time.monotonic() + PATIENCE
            asyncio.get_running_loop().call_soon(self._wait)

    def _wait(self) -> None:
        # A burst makes more streams dirty, or those that are get more to send.
        dirty = self.dirty
        seen = (len(dirty), len(dirty[0].parts), len(dirty[-1].parts))
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
        for start in range(0, len(streams), GROUP):
            for stream in streams[start : start + GROUP]:
                stream.flush()
            if time.monotonic() > end:
                self.dirty[:0] = streams[start + GROUP :]
                break
        self._sending = bool(self.dirty)
        if self._sending:
            asyncio.get_running_loop().call_soon(self._send)


class Stream:
    """Writes to one subscriber.

    Args:
        iostream: a detached `tornado.iostream.IOStream`; this object closes it.
        framing: what events look like to it.
        max_buffer: bytes that may wait to be sent.
        on_close: called when the peer has gone.
    """

    __slots__ = (
        "_dirty",
        "_drained",
        "_first",
        "_flusher",
        "_framing",
        "_iostream",
        "_max_buffer",
        "_on_close",
        "_queued",
        "_send",
        "parts",
    )

    def __init__(
        self,
        iostream: IOStream,
        *,
        framing: Framing,
        max_buffer: int,
        on_close: Callable[[], None],
    ) -> None:
        self._iostream = iostream
        self._framing = framing
        self._max_buffer = max_buffer
        self._on_close: Callable[[], None] | None = on_close
        self._flusher = Flusher.current()
        self._dirty = self._flusher.dirty
        # Of the socket itself: IOStream.write_to_fd is one call more for each of thousands.
        self._send = iostream.socket.send
        self.parts: list[bytes] = []
        """What waits for the end of a burst."""
        self._queued = 0
        """Bytes that the `IOStream` holds."""
        self._first: Event | None = None
        self._drained: asyncio.Future[None] | None = None
        iostream.set_nodelay(True)
        iostream.set_close_callback(self._closed)
        self._read()

    @property
    def unsent(self) -> str | None:
        """The id before the first event that may not have reached the kernel, if there is one."""
        return None if self._first is None else self._first.prev

    def send(self, event: Event) -> Awaitable[None]:
        """Send an event, soon; as `write`."""
        # Thousands of subscribers come here with the same event: no call more than there must be.
        data = event.frames.get(self._framing) or self._framing.frame(event)
        parts = self.parts
        if not parts:
            if not self._dirty:
                self._flusher.wake()
            self._dirty.append(self)
            if self._first is None:
                self._first = event
        parts.append(data)
        if self._queued or len(parts) > FEW or len(data) > SMALL:
            return self._press()
        return DONE

    def write(self, data: bytes, content_type: str) -> Awaitable[None]:
        """Send `data`, soon.

        Returns an awaitable that is done at once while the peer keeps up, else when most of what
        waits is sent. It does not fail: a peer that goes is reported by `on_close`.
        """
        return self.write_wire(self._framing.wire(self._framing.part(data, content_type)))

    def write_wire(self, data: bytes) -> Awaitable[None]:
        """Send bytes that are framed already."""
        if not self.parts:
            if not self._dirty:
                self._flusher.wake()
            self._dirty.append(self)
        self.parts.append(data)
        return self._press()

    def _press(self) -> Awaitable[None]:
        """There is much to send: see that it does not become too much."""
        waiting = self._queued + sum(map(len, self.parts))
        if waiting > self._max_buffer // 4:
            # Most of it may only wait for the end of this loop iteration.
            self.flush()
            waiting = self._queued
        if waiting > self._max_buffer:
            self._cut_off()
        if waiting <= self._max_buffer // 4 or self._iostream.closed():
            return DONE
        if self._drained is None or self._drained.done():
            self._drained = asyncio.get_running_loop().create_future()
        return self._drained

    def flush(self) -> None:
        """Hand to the kernel what there is."""
        parts = self.parts
        if not parts:
            return
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        if not self._queued:
            try:
                sent = self._send(data)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                sent = 0
            except OSError:
                self._iostream.close()
                return
            if sent == len(data):
                self._first = None
                if self._drained is not None:
                    self._release()
                return
            data = data[sent:]
        self._queue(data)

    def _queue(self, data: bytes) -> None:
        self._queued += len(data)
        size = len(data)
        try:
            future = self._iostream.write(data)
        except StreamClosedError:
            return
        future.add_done_callback(lambda _: self._sent(size))

    def _sent(self, size: int) -> None:
        self._queued -= size
        if not self._queued and not self.parts:
            self._first = None
        if self._queued <= self._max_buffer // 8:
            self._release()

    def _release(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
            self._drained = None

    def _read(self, last: asyncio.Future[bytes] | None = None) -> None:
        # A peer has nothing more to say; but only while we read do we see it go.
        if last is None or last.exception() is None:
            with contextlib.suppress(StreamClosedError):
                read = asyncio.ensure_future(self._iostream.read_bytes(READ_SIZE, partial=True))
                read.add_done_callback(self._read)

    def finish(self) -> None:
        """Send what there is, mark the end, close."""
        self._on_close = None
        data = b"".join(self.parts) + (LAST_CHUNK if self._framing.chunked else b"")
        self.parts.clear()
        self._first = None
        self._release()
        iostream = self._iostream
        iostream.set_close_callback(None)
        if data and not iostream.closed():
            iostream.write(data).add_done_callback(lambda _: iostream.close())
        elif self._queued:
            iostream.write(b"").add_done_callback(lambda _: iostream.close())
        else:
            iostream.close()

    def abort(self) -> None:
        """Close at once; the peer sees that the answer is not complete."""
        self._on_close = None
        self._iostream.set_close_callback(None)
        self._iostream.close()
        self._release()

    def _cut_off(self) -> None:
        _log.info("a subscriber was cut off: more than %d bytes waited for it", self._max_buffer)
        self._iostream.close()

    def _closed(self) -> None:
        on_close, self._on_close = self._on_close, None
        self._release()
        if on_close is not None:
            on_close()

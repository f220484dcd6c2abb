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
import logging
import time
import weakref
from collections.abc import Awaitable, Callable, Generator
from typing import Any, ClassVar

from tornado.iostream import IOStream, StreamClosedError

from tatsumaki_py.message_queue.event import Event
from tatsumaki_py.push.framing import LAST_CHUNK

__all__ = ["DONE", "Done", "Stream"]

QUIET = 4
PATIENCE = 0.005
SLICE = 0.005
"""Seconds that one pass over the subscribers may take before others have their turn."""

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
        self._dirty: list[Stream] = []
        self._seen = (0, 0, 0)
        self._quiet = 0
        self._deadline = 0.0
        self._running = False

    @classmethod
    def current(cls) -> Flusher:
        """That of the running loop."""
        loop = asyncio.get_running_loop()
        flusher = cls._of_loop.get(loop)
        if flusher is None:
            flusher = cls._of_loop[loop] = cls()
        return flusher

    def add(self, stream: Stream) -> None:
        """`stream` has something to send."""
        self._dirty.append(stream)
        if not self._running:
            self._running = True
            self._quiet = 0
            self._deadline = time.monotonic() + PATIENCE
            asyncio.get_running_loop().call_soon(self._tick)

    def _tick(self) -> None:
        # A burst makes more streams dirty, or those that are get more to send.
        seen = (len(self._dirty), len(self._dirty[0]._parts), len(self._dirty[-1]._parts))
        self._quiet = self._quiet + 1 if seen == self._seen else 0
        self._seen = seen
        if self._quiet < QUIET and time.monotonic() < self._deadline:
            asyncio.get_running_loop().call_soon(self._tick)
            return
        self._send()

    def _send(self) -> None:
        streams, self._dirty = self._dirty, []
        end = time.monotonic() + SLICE
        for index, stream in enumerate(streams):
            stream.flush()
            if index % 64 == 63 and time.monotonic() > end:
                self._dirty[:0] = streams[index + 1 :]
                break
        self._running = bool(self._dirty)
        if self._running:
            asyncio.get_running_loop().call_soon(self._send)


class Stream:
    """Writes to one subscriber.

    Args:
        iostream: a detached `tornado.iostream.IOStream`; this object closes it.
        chunked: whether the end is marked by the last chunk of HTTP/1.1.
        max_buffer: bytes that may wait to be sent.
        on_close: called when the peer has gone.
    """

    __slots__ = (
        "_chunked",
        "_drained",
        "_first",
        "_flusher",
        "_iostream",
        "_max_buffer",
        "_on_close",
        "_parts",
        "_queued",
        "_size",
    )

    def __init__(
        self,
        iostream: IOStream,
        *,
        chunked: bool,
        max_buffer: int,
        on_close: Callable[[], None],
    ) -> None:
        self._iostream = iostream
        self._chunked = chunked
        self._max_buffer = max_buffer
        self._on_close: Callable[[], None] | None = on_close
        self._flusher = Flusher.current()
        self._parts: list[bytes] = []
        self._size = 0
        """Bytes in `_parts`."""
        self._queued = 0
        """Bytes that the `IOStream` holds."""
        self._first: Event | None = None
        self._drained: asyncio.Future[None] | None = None
        iostream.set_nodelay(True)
        iostream.set_close_callback(self._closed)

    @property
    def unsent(self) -> str | None:
        """The id before the first event that may not have reached the kernel, if there is one."""
        return None if self._first is None else self._first.prev

    def write(self, data: bytes, event: Event | None = None) -> Awaitable[None]:
        """Send `data`, which is `event`, soon.

        Returns an awaitable that is done at once while the peer keeps up, else when half of what
        waits is sent. It does not fail: a peer that goes is reported by `on_close`.
        """
        if not self._parts:
            self._flusher.add(self)
        if self._first is None:
            self._first = event
        self._parts.append(data)
        self._size += len(data)
        if self._queued + self._size <= self._max_buffer // 4:
            return DONE
        return self._overfull()

    def _overfull(self) -> Awaitable[None]:
        if self._queued + self._size > self._max_buffer:
            # Most of it may only wait for the end of this loop iteration.
            self.flush()
        if self._queued and self._queued + self._size > self._max_buffer:
            self._cut_off()
            return DONE
        if not self._queued + self._size:
            return DONE
        if self._drained is None or self._drained.done():
            self._drained = asyncio.get_running_loop().create_future()
        return self._drained

    def flush(self) -> None:
        """Hand to the kernel what there is."""
        parts = self._parts
        if not parts or self._iostream.closed():
            return
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        self._parts = []
        self._size = 0
        if not self._queued:
            try:
                sent = self._iostream.write_to_fd(data)  # type: ignore[arg-type]
            except BlockingIOError:
                sent = 0
            except OSError:
                self._iostream.close()
                return
            if sent == len(data):
                self._first = None
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
        if not self._queued and not self._parts:
            self._first = None
        if self._queued + self._size <= self._max_buffer // 8:
            self._release()

    def _release(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
            self._drained = None

    def finish(self) -> None:
        """Send what there is, mark the end, close."""
        self._on_close = None
        data = b"".join(self._parts) + (LAST_CHUNK if self._chunked else b"")
        self._parts = []
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

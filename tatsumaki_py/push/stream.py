"""One subscriber's connection, after Tornado's HTTP code has let go of it.

Rules:
1. Only a `Stream` writes to its socket. `parts` is what waits for the end of a burst, `_rest` what
   the kernel did not take (the stream is blocked then); both go out in order.
2. What waits is bounded by `max_buffer` bytes; a subscriber that lets more pile up is cut off, and
   comes back with its cursor.
3. `on_close` is called once, from the loop, when the peer went or was cut off; never after `finish`
   or `abort`.
4. Nothing is kept that an idle subscriber does not need: there are thousands of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Generator
from typing import Any

from tornado.iostream import IOStream, StreamClosedError

from tatsumaki_py.message_queue.event import Event
from tatsumaki_py.push.flusher import Flusher
from tatsumaki_py.push.framing import LAST_CHUNK, Framing

__all__ = ["DONE", "Done", "IOStreamStream", "SocketStream", "Stream", "take_over"]

FEW = 64
SMALL = 4096
"""Parts, and bytes of one, up to which nobody counts what waits for a moment."""
READ_SIZE = 4096
LINGER = 30.0
"""Seconds that a peer has to take the end of its stream."""

_log = logging.getLogger("tatsumaki")


class Done:
    """An awaitable that is done."""

    def done(self) -> bool:
        return True

    def __await__(self) -> Generator[Any, None, None]:
        return
        yield


DONE = Done()


def take_over(
    iostream: IOStream, framing: Framing, max_buffer: int, on_close: Callable[[], None]
) -> Stream:
    """The stream for a detached `tornado.iostream.IOStream`.

    Args:
        framing: what events look like on it.
        max_buffer: bytes that may wait to be sent.
        on_close: called when the peer has gone.
    """
    if type(iostream) is IOStream and not iostream.writing():
        sock = iostream.socket.dup()
        iostream.close()
        return SocketStream(sock, framing, max_buffer, on_close)
    return IOStreamStream(iostream, framing, max_buffer, on_close)


class Stream:
    """Writes to one subscriber; see `take_over`."""

    __slots__ = (
        "_counted",
        "_dirty",
        "_drained",
        "_ending",
        "_first",
        "_flusher",
        "_framing",
        "_max_buffer",
        "_on_close",
        "_rest",
        "_send",
        "_size",
        "parts",
    )

    def __init__(
        self,
        sock: socket.socket,
        framing: Framing,
        max_buffer: int,
        on_close: Callable[[], None],
    ) -> None:
        self._send = sock.send
        self._framing = framing
        self._max_buffer = max_buffer
        self._on_close: Callable[[], None] | None = on_close
        self._flusher = Flusher.current()
        self._dirty = self._flusher.dirty
        self.parts: list[bytes] = []
        # How many of them are counted, and their bytes.
        self._counted = 0
        self._size = 0
        self._rest: memoryview | None = None
        self._first: Event | None = None
        self._drained: asyncio.Future[None] | None = None
        self._ending = False
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def unsent(self) -> str | None:
        """The id before the first event that may not have reached the kernel, if there is one."""
        return None if self._first is None else self._first.prev

    def send(self, event: Event) -> Awaitable[None]:
        """Send an event, soon.

        Returns an awaitable that is done at once while the peer keeps up, else when most of what
        waits is sent. It does not fail: a peer that goes is reported by `on_close`.
        """
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
        if self._rest is not None or len(parts) > FEW or len(data) > SMALL:
            return self._press()
        return DONE

    def write(self, data: bytes, content_type: str) -> Awaitable[None]:
        """Send something that is no event, soon; as `send`."""
        return self.write_wire(self._framing.wire(self._framing.part(data, content_type)))

    def write_wire(self, data: bytes) -> Awaitable[None]:
        """Send bytes that are framed already; as `send`."""
        if not self.parts:
            if not self._dirty:
                self._flusher.wake()
            self._dirty.append(self)
        self.parts.append(data)
        return self._press()

    def _press(self) -> Awaitable[None]:
        """There may be much to send: see that it does not become too much."""
        fresh = self.parts[self._counted :]
        self._counted += len(fresh)
        self._size += sum(map(len, fresh))
        if self._rest is None and self._size > self._max_buffer // 4:
            # The kernel may take it all.
            self.flush()
        waiting = self._size + (0 if self._rest is None else len(self._rest))
        if self._rest is not None and self._size and waiting > self._max_buffer:
            _log.info("a subscriber was cut off: %d bytes waited for it", waiting)
            self._lose()
            return DONE
        if waiting <= self._max_buffer // 4:
            return DONE
        if self._drained is None or self._drained.done():
            self._drained = asyncio.get_running_loop().create_future()
        return self._drained

    def flush(self) -> None:
        """Hand to the kernel what there is."""
        parts = self.parts
        if not parts or self._rest is not None:
            return
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self._counted = self._size = 0
        try:
            sent = self._send(data)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            sent = 0
        except OSError:
            self._lose()
            return
        if sent == len(data):
            self._first = None
            if self._drained is not None:
                self._release()
        else:
            self._rest = memoryview(data)[sent:]
            self._block()

    def _unblock(self) -> None:
        """The kernel has taken `_rest`."""
        self._rest = None
        self._first = None
        if self.parts:
            self.flush()
        if self._rest is None:
            self._release()
            if self._ending:
                self._close()

    def _release(self) -> None:
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)

    def finish(self) -> None:
        """Send what there is, mark the end, close."""
        self._on_close = None
        if self._framing.chunked:
            self.parts.append(LAST_CHUNK)
        self._ending = True
        self.flush()
        if self._rest is None:
            self._close()
        else:
            asyncio.get_running_loop().call_later(LINGER, self._close)

    def abort(self) -> None:
        """Close at once; the peer sees that the answer is not complete."""
        self._on_close = None
        self._close()

    def _lose(self) -> None:
        """The peer is lost. Whoever is writing now finishes that first."""
        asyncio.get_running_loop().call_soon(self._lost)

    def _lost(self) -> None:
        on_close, self._on_close = self._on_close, None
        self._close()
        if on_close is not None:
            on_close()

    def _close(self) -> None:
        self.parts.clear()
        self._rest = None
        self._shut()
        self._release()

    def _block(self) -> None:
        """See to it that `_rest` is sent, then call `_unblock`."""
        raise NotImplementedError

    def _shut(self) -> None:
        """Close the connection, if it is open."""
        raise NotImplementedError


class SocketStream(Stream):
    """A plain socket. Without an `IOStream` around it, a subscriber costs half as much memory."""

    __slots__ = ("_socket",)

    def __init__(
        self,
        sock: socket.socket,
        framing: Framing,
        max_buffer: int,
        on_close: Callable[[], None],
    ) -> None:
        super().__init__(sock, framing, max_buffer, on_close)
        self._socket = sock
        # Outside of the request's context, which nobody needs any more.
        loop = asyncio.get_running_loop()
        contextvars.Context().run(loop.add_reader, sock, self._readable)

    def _readable(self) -> None:
        # A peer has nothing more to say. It is read to see it go.
        try:
            data = self._socket.recv(READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lost()

    def _block(self) -> None:
        asyncio.get_running_loop().add_writer(self._socket, self._writable)

    def _writable(self) -> None:
        assert self._rest is not None
        try:
            sent = self._send(self._rest)
        except BlockingIOError:
            return
        except OSError:
            self._lost()
            return
        self._rest = self._rest[sent:]
        if not self._rest:
            asyncio.get_running_loop().remove_writer(self._socket)
            self._unblock()

    def _shut(self) -> None:
        if self._socket.fileno() != -1:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._socket)
            loop.remove_writer(self._socket)
            self._socket.close()


class IOStreamStream(Stream):
    """Any `tornado.iostream.IOStream`, such as one with TLS."""

    __slots__ = ("_iostream",)

    def __init__(
        self,
        iostream: IOStream,
        framing: Framing,
        max_buffer: int,
        on_close: Callable[[], None],
    ) -> None:
        super().__init__(iostream.socket, framing, max_buffer, on_close)
        self._iostream = iostream
        if iostream.writing():
            self._rest = memoryview(b"")
            self._block()
        iostream.set_close_callback(self._lost)
        self._read()

    def _read(self, last: asyncio.Future[bytes] | None = None) -> None:
        # As in SocketStream._readable.
        if last is None or last.exception() is None:
            with contextlib.suppress(StreamClosedError):
                read = asyncio.ensure_future(self._iostream.read_bytes(READ_SIZE, partial=True))
                read.add_done_callback(self._read)

    def _block(self) -> None:
        assert self._rest is not None
        try:
            written = self._iostream.write(self._rest)
        except StreamClosedError:
            return
        written.add_done_callback(lambda _: None if self._iostream.closed() else self._unblock())

    def _shut(self) -> None:
        self._iostream.set_close_callback(None)
        self._iostream.close()

"""The two kinds of connection that a stream has: a plain socket, or whatever Tornado has."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import socket

from tornado.iostream import IOStream, StreamClosedError

from tatsumaki_py.push.framing import Framing
from tatsumaki_py.push.stream import Owner, Stream

__all__ = ["IOStreamStream", "SocketStream", "take_over"]

READ_SIZE = 4096


def take_over(iostream: IOStream, framing: Framing, max_buffer: int, owner: Owner) -> Stream:
    """The stream for a detached `tornado.iostream.IOStream`.

    Args:
        framing: what events look like on it.
        max_buffer: bytes that may wait to be sent.
        owner: is told what becomes of it.
    """
    if type(iostream) is IOStream and not iostream.writing():
        sock = iostream.socket.dup()
        iostream.close()
        return SocketStream(sock, framing, max_buffer, owner)
    return IOStreamStream(iostream, framing, max_buffer, owner)


class SocketStream(Stream):
    """A plain socket. Without an `IOStream` around it, a subscriber costs half as much memory."""

    __slots__ = ("_socket",)

    def __init__(
        self,
        sock: socket.socket,
        framing: Framing,
        max_buffer: int,
        owner: Owner,
    ) -> None:
        super().__init__(sock, framing, max_buffer, owner)
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
            sent = self.transmit(self._rest)
        except BlockingIOError:
            return
        except OSError:
            self._lost()
            return
        self._rest = self._rest[sent:]
        if not self._rest:
            asyncio.get_running_loop().remove_writer(self._socket)
        self._progress()

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
        owner: Owner,
    ) -> None:
        super().__init__(iostream.socket, framing, max_buffer, owner)
        self._iostream = iostream
        if iostream.writing():
            self._keep(b"", 0)
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
        written.add_done_callback(self._written)

    def _written(self, written: asyncio.Future[None]) -> None:
        if not self._iostream.closed():
            self._rest = memoryview(b"")
            self._progress()

    def _shut(self) -> None:
        self._iostream.set_close_callback(None)
        self._iostream.close()

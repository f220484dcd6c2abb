"""The two kinds of connection that a stream has: a plain socket, or whatever Tornado has.

Rule: a connection goes on after its stream only if it is known where the next request begins: all
of the answer was sent, with its end marked, and nothing the client sent since its request was read.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import socket
from typing import Protocol

from tornado.iostream import IOStream, StreamClosedError

from tatsumaki_py.iostream import ForgettingStream
from tatsumaki_py.push.framing import Framing
from tatsumaki_py.push.stream import Stream
from tatsumaki_py.push.wire import Owner
from tatsumaki_py.strict_http import HeadStream

__all__ = ["IOStreamStream", "Keeper", "SocketStream", "keep", "keeper_of", "take_over"]

READ_SIZE = 4096


class Keeper(Protocol):
    """A server that goes on with a connection after a stream."""

    def take_back(self, sock: socket.socket) -> None:
        """The next request may come; `sock` is yours."""


def keep(iostream: IOStream, keeper: Keeper) -> None:
    """From now on `keeper_of` tells whose this connection is."""
    # On the object: a context variable costs each waiting client more, and is another's where a
    # callback runs.
    iostream.tatsumaki_keeper = keeper  # type: ignore[attr-defined]


def keeper_of(iostream: IOStream | None) -> Keeper | None:
    """Who goes on with this connection after a stream, if there is anybody."""
    return getattr(iostream, "tatsumaki_keeper", None)


def take_over(
    iostream: IOStream,
    framing: Framing,
    max_buffer: int,
    owner: Owner,
    keeper: Keeper | None = None,
) -> Stream:
    """The stream for a detached `tornado.iostream.IOStream`.

    Args:
        framing: what events look like on it.
        max_buffer: bytes that may wait to be sent.
        owner: is told what becomes of it.
        keeper: gets the connection back, if it can go on after the stream.
    """
    sock = _socket_of(iostream)
    if sock is None:
        return IOStreamStream(iostream, framing, max_buffer, owner)
    if keeper is not None and _holds_more(iostream):
        keeper = None
    iostream.close()
    return SocketStream(sock, framing, max_buffer, owner, keeper)


def _socket_of(iostream: IOStream) -> socket.socket | None:
    """The socket below, on its own, if it is a plain one."""
    if type(iostream) not in (IOStream, ForgettingStream, HeadStream) or iostream.writing():
        return None
    try:
        return iostream.socket.dup()
    except OSError:
        # Too many open files: what is open does as well.
        return None


def _holds_more(iostream: IOStream) -> bool:
    """Whether the client sent more than its request."""
    try:
        return asyncio.ensure_future(iostream.read_bytes(1, partial=True)).done()
    except StreamClosedError:
        return True


class SocketStream(Stream):
    """A plain socket. Without an `IOStream` around it, a subscriber costs half as much memory."""

    __slots__ = ("_keeper", "_socket")

    def __init__(
        self,
        sock: socket.socket,
        framing: Framing,
        max_buffer: int,
        owner: Owner,
        keeper: Keeper | None,
    ) -> None:
        super().__init__(sock, framing, max_buffer, owner)
        self._socket = sock
        self._keeper = keeper
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
            self._gone(True)
            return
        self._keeper = None
        if not data:
            self._gone(False)

    def _block(self) -> None:
        asyncio.get_running_loop().add_writer(self._socket, self._writable)

    def _writable(self) -> None:
        assert self._rest is not None
        try:
            sent = self.wire.send(self._rest)
        except BlockingIOError:
            return
        except Exception as error:
            self.fail(error)
            return
        rest = self._rest[sent:]
        if not rest:
            asyncio.get_running_loop().remove_writer(self._socket)
        self._progress(rest)

    def _complete(self) -> None:
        keeper, sock = self._keeper, self._socket
        if keeper is not None and not self._losing and sock.fileno() != -1:
            self._unregister()
            try:
                # What is left of this stream must not reach it.
                keeper.take_back(socket.socket(fileno=sock.detach()))
            finally:
                self._close()
            return
        self._close()

    def _shut(self) -> None:
        if self._socket.fileno() != -1:
            self._unregister()
            self._socket.close()

    def _fileno(self) -> int:
        return self._socket.fileno()

    def _unregister(self) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._socket)
        loop.remove_writer(self._socket)


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
        self._iostream = iostream
        super().__init__(iostream.socket, framing, max_buffer, owner)
        if iostream.writing():
            self._keep(b"", 0)
        self._watch()

    def _watch(self) -> None:
        """See the peer go."""
        self._iostream.set_close_callback(self._ended)
        self._read()

    def _ended(self) -> None:
        self._gone(self._iostream.error is not None)

    def _read(self, last: asyncio.Future[bytes] | None = None) -> None:
        # As in SocketStream._readable.
        if last is None or last.exception() is None:
            with contextlib.suppress(StreamClosedError):
                read = asyncio.ensure_future(self._iostream.read_bytes(READ_SIZE, partial=True))
                read.add_done_callback(self._read)

    def _block(self) -> None:
        assert self._rest is not None
        # A stream that is closed has said so by its callback.
        with contextlib.suppress(StreamClosedError):
            self._pass(self._rest)

    def _pass(self, data: bytes | memoryview) -> None:
        """Let the `IOStream` send `data`."""
        self._iostream.write(data).add_done_callback(self._written)

    def _written(self, written: asyncio.Future[None]) -> None:
        if not self._iostream.closed():
            self._progress(memoryview(b""))

    def _shut(self) -> None:
        self._iostream.set_close_callback(None)
        self._iostream.close()

    def _fileno(self) -> int:
        return -1 if self._iostream.closed() else self._iostream.socket.fileno()

"""The two kinds of connection that a stream has: a plain socket, or whatever Tornado has.

Rule: a connection goes on after its stream only if it is known where the next request begins: all
of the answer was sent, with its end marked, and what the client has sent since its request was
kept, or not read.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import socket
from typing import Protocol, cast

from tornado.iostream import IOStream, StreamClosedError

from tatsumaki_py.iostream import ForgettingStream
from tatsumaki_py.push.framing import Framing
from tatsumaki_py.push.hangup import HangUps, was_reset
from tatsumaki_py.push.stream import Stream
from tatsumaki_py.push.wire import Owner
from tatsumaki_py.strict_http import HeadStream

__all__ = ["IOStreamStream", "Keeper", "SocketStream", "keep", "keeper_of", "take_over"]

READ_SIZE = 4096
AHEAD = 65536
"""Bytes of the next requests that are kept during a stream, if they came with its own."""


class Keeper(Protocol):
    """A server that goes on with a connection after a stream."""

    def take_back(self, sock: socket.socket, ahead: bytes) -> None:
        """The next request may come; `sock` is yours. `ahead` was read from it already."""


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
    ahead = b"" if keeper is None else _read_ahead(iostream)
    iostream.close()
    if ahead is None:
        keeper = None
    stream = SocketStream(sock, framing, max_buffer, owner, keeper)
    if ahead:
        stream.keep_ahead(ahead)
    return stream


def _socket_of(iostream: IOStream) -> socket.socket | None:
    """The socket below, on its own, if it is a plain one."""
    if type(iostream) not in (IOStream, ForgettingStream, HeadStream) or iostream.writing():
        return None
    try:
        return iostream.socket.dup()
    except OSError:
        # Too many open files: what is open does as well.
        return None


def _read_ahead(iostream: IOStream) -> bytes | None:
    """What the client sent behind its request. None: it is too much, or the client has gone."""
    try:
        reading = asyncio.ensure_future(iostream.read_bytes(AHEAD + 1, partial=True))
        if not reading.done():
            return b""
        if reading.exception() is not None:
            # Raised here, it would refer to this frame, and the frame to `reading`, which has it.
            return None
        ahead = reading.result()
    except StreamClosedError:
        return None
    return ahead if len(ahead) <= AHEAD else None


class _Ahead:
    """A keeper, with what it is to read first."""

    __slots__ = ("_ahead", "_keeper")

    def __init__(self, keeper: Keeper, ahead: bytes) -> None:
        self._keeper = keeper
        self._ahead = ahead

    def take_back(self, sock: socket.socket, ahead: bytes) -> None:
        self._keeper.take_back(sock, self._ahead + ahead)


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

    def keep_ahead(self, ahead: bytes) -> None:
        """Let the keeper read `ahead` before anything else."""
        assert self._keeper is not None
        self._keeper = _Ahead(self._keeper, ahead)

    def _readable(self) -> None:
        # A peer has nothing more to say on this stream. It is read to see it go.
        kept = self._keeper is not None
        try:
            data = self._socket.recv(READ_SIZE, socket.MSG_PEEK if kept else 0)
        except BlockingIOError:
            return
        except OSError:
            self._gone(True)
            return
        if not data:
            self._gone(False)
        elif kept:
            # The next request. It is left in the kernel until the stream is over.
            asyncio.get_running_loop().remove_reader(self._socket)
            HangUps.current().watch(self._socket.fileno(), self._hung_up)

    def _hung_up(self) -> None:
        self._gone(was_reset(self._socket.fileno()))

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
                keeper.take_back(socket.socket(fileno=sock.detach()), b"")
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
        HangUps.current().forget(self._socket.fileno())


class _Closed:
    """In place of an `IOStream` that was closed."""

    error = None

    def closed(self) -> bool:
        return True

    def close(self) -> None:
        pass

    def set_close_callback(self, callback: None) -> None:
        pass


_CLOSED = _Closed()


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
        if not self._iostream.closed() and (last is None or last.exception() is None):
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
        self._let_go()

    def _let_go(self) -> None:
        """Have no more to do with the `IOStream`."""
        # The timer wheel keeps this object for a while, but need not keep that one.
        self._iostream = cast(IOStream, _CLOSED)

    def _fileno(self) -> int:
        return -1 if self._iostream.closed() else self._iostream.socket.fileno()

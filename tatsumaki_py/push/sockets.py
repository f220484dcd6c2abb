"""The two kinds of connection that a stream has: a plain socket, or whatever Tornado has.

Rule: a connection ends with its stream. What a client sends behind the request of a stream is read
and dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import socket
from collections.abc import Callable
from typing import cast

from tornado.iostream import IOStream, SSLIOStream, StreamClosedError

from tatsumaki_py.iostream import ForgettingStream, adopt
from tatsumaki_py.push.framing import Framing
from tatsumaki_py.push.hangup import ask_peer
from tatsumaki_py.push.owner import Owner
from tatsumaki_py.push.pile import Pile
from tatsumaki_py.push.stream import WOULD_BLOCK, Stream

__all__ = ["IOStreamStream", "Relay", "SocketStream", "socket_of", "take_over"]

READ_SIZE = 4096


def take_over(
    iostream: IOStream,
    framing: Framing,
    max_buffer: int,
    owner: Owner,
) -> Stream:
    """The stream for a detached `tornado.iostream.IOStream`.

    Args:
        framing: what events look like on it.
        max_buffer: bytes that may wait to be sent.
        owner: is told what becomes of it.
    """
    sock = socket_of(iostream)
    if sock is None:
        return IOStreamStream(iostream, framing, max_buffer, owner)
    iostream.close()
    return SocketStream(sock, framing, max_buffer, owner)


def socket_of(iostream: IOStream) -> socket.socket | None:
    """The socket below, on its own, if it is a plain one. Close `iostream` then."""
    adopt(iostream)
    if isinstance(iostream, SSLIOStream) or not isinstance(iostream, ForgettingStream):
        return None
    if iostream.writing():
        return None
    sock = iostream.part()
    _prepare(sock)
    return sock


def _prepare(sock: socket.socket) -> None:
    """Let the kernel send at once, and notice a client that vanishes."""
    with contextlib.suppress(OSError):
        # Not TCP, or closed by now.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    ask_peer(sock)


class Relay:
    """What the loop calls when a client has sent something, first for the requests of a connection,
    then for its stream: to register another callback takes longer than the rest of a hand-over.
    """

    __slots__ = ("call",)

    def __init__(self, call: Callable[[], None]) -> None:
        self.call = call

    def __call__(self) -> None:
        self.call()


class SocketStream(Stream):
    """A plain socket. Without an `IOStream` around it, a subscriber costs half as much memory."""

    __slots__ = ()

    def __init__(
        self,
        sock: socket.socket,
        framing: Framing,
        max_buffer: int,
        owner: Owner,
        relay: Relay | None = None,
    ) -> None:
        super().__init__(sock, framing, max_buffer, owner)
        if relay is not None:
            relay.call = self._readable
            return
        # In a context of its own: that of the request is not needed any more.
        # The loop gets the descriptor: it would describe the socket in errors that it catches.
        loop = asyncio.get_running_loop()
        contextvars.Context().run(loop.add_reader, sock.fileno(), self._readable)

    def _readable(self) -> None:
        # A peer has nothing more to say on this stream. It is read to see it go.
        try:
            data = self.wire.recv(READ_SIZE)
        except WOULD_BLOCK:
            return
        except OSError:
            self._gone(True)
            return
        if data:
            self.receive(data)
        else:
            self._ended()

    def receive(self, data: bytes) -> None:
        """Take what the client has sent, which is nothing that matters."""

    def _ended(self) -> None:
        """The client has closed the connection."""
        self._gone(False)

    def _block(self) -> None:
        asyncio.get_running_loop().add_writer(self.wire.fileno(), self._writable)

    def _writable(self) -> None:
        assert self._rest is not None
        try:
            sent = self.wire.send(self._rest.data)
        except WOULD_BLOCK:
            return
        except Exception as error:
            self.fail(error)
            return
        data = self._rest.data[sent:]
        if not data:
            asyncio.get_running_loop().remove_writer(self.wire.fileno())
        self._progress(data)

    def go_on(self) -> None:
        """What was written before it took over is sent."""
        self._progress(memoryview(b""))

    def _shut(self) -> None:
        # asyncio would describe the socket in an error that it catches.
        descriptor = self.wire.fileno()
        if descriptor != -1:
            loop = asyncio.get_running_loop()
            loop.remove_reader(descriptor)
            loop.remove_writer(descriptor)
            self.wire.close()


class _Closed:
    """In place of an `IOStream` that was closed."""

    error = None

    def closed(self) -> bool:
        return True

    def close(self) -> None:
        pass

    def writing(self) -> bool:
        return False

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
        _prepare(iostream.socket)
        super().__init__(iostream.socket, framing, max_buffer, owner)
        if iostream.writing():
            self.keep(b"", 0, Pile())
        elif isinstance(iostream, ForgettingStream):
            iostream.rest()
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
            self._pass(self._rest.data)

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

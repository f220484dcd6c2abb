"""The two kinds of connection of a stream: a plain socket, or an `IOStream` of Tornado.

Rule: a connection ends with its stream. Bytes that the client sends after its request are read and
dropped.
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
        framing: how events are written.
        max_buffer: bytes that may wait to be sent.
        owner: the handler, which the stream notifies.
    """
    sock = socket_of(iostream)
    if sock is None:
        return IOStreamStream(iostream, framing, max_buffer, owner)
    iostream.close()
    return SocketStream(sock, framing, max_buffer, owner)


def socket_of(iostream: IOStream) -> socket.socket | None:
    """Detach the plain socket of `iostream` and return it. `iostream` can then be closed without
    closing the connection. Returns None if the socket is not plain.
    """
    adopt(iostream)
    if isinstance(iostream, SSLIOStream) or not isinstance(iostream, ForgettingStream):
        return None
    if iostream.writing():
        return None
    sock = iostream.part()
    _prepare(sock)
    return sock


def _prepare(sock: socket.socket) -> None:
    """Let the kernel send without delay, and detect a client that vanishes."""
    with contextlib.suppress(OSError):
        # The socket may not be TCP, or may already be closed.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    ask_peer(sock)


class Relay:
    """The callback that the loop calls when a client has sent data: first for the requests of a
    connection, later for its stream. Replacing `call` is much cheaper than registering another
    callback with the loop.
    """

    __slots__ = ("call",)

    def __init__(self, call: Callable[[], None]) -> None:
        self.call = call

    def __call__(self) -> None:
        self.call()


class SocketStream(Stream):
    """A stream on a plain socket. Without an `IOStream`, a subscriber takes half as much memory."""

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
        # Register in a new context, so that the request's context can be freed. Pass the
        # descriptor: asyncio would put the `repr` of a socket, with the client's address, into
        # logged errors.
        loop = asyncio.get_running_loop()
        contextvars.Context().run(loop.add_reader, sock.fileno(), self._readable)

    def _readable(self) -> None:
        # Only reading shows that the client has left.
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
        """Take the bytes that the client has sent. This class ignores them."""

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
        """Begin to send: everything that was written before the stream took over has been sent."""
        self._progress(memoryview(b""))

    def _shut(self) -> None:
        # Pass the descriptor, not the socket: see `__init__`.
        descriptor = self.wire.fileno()
        if descriptor != -1:
            loop = asyncio.get_running_loop()
            loop.remove_reader(descriptor)
            loop.remove_writer(descriptor)
            self.wire.close()


class _Closed:
    """Stands in for an `IOStream` that was closed."""

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
    """A stream on any `tornado.iostream.IOStream`, such as one with TLS."""

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
        """Watch for the client to leave."""
        self._iostream.set_close_callback(self._ended)
        self._read()

    def _ended(self) -> None:
        self._gone(self._iostream.error is not None)

    def _read(self, last: asyncio.Future[bytes] | None = None) -> None:
        # See `SocketStream._readable`.
        if not self._iostream.closed() and (last is None or last.exception() is None):
            with contextlib.suppress(StreamClosedError):
                read = asyncio.ensure_future(self._iostream.read_bytes(READ_SIZE, partial=True))
                read.add_done_callback(self._read)

    def _block(self) -> None:
        assert self._rest is not None
        # If the `IOStream` is closed, its close callback has told this stream.
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
        """Drop the `IOStream`."""
        # The timer wheel keeps this object alive for a while: free the `IOStream` now.
        self._iostream = cast(IOStream, _CLOSED)

"""A connection that a handler takes over (`RequestHandler.detach`), such as Tornado's WebSockets.

Rule: bytes that the client sent after its request are read first.
"""

from __future__ import annotations

import socket
import ssl

from tornado.iostream import IOStream, SSLIOStream

from tatsumaki_py.iostream import ForgettingStream

__all__ = ["closed_stream", "detached"]


class _Detached(ForgettingStream):
    __slots__ = ("_ahead",)

    def __init__(self, sock: socket.socket, ahead: bytes) -> None:
        self._ahead = ahead
        super().__init__(sock)

    def read_from_fd(self, buf: bytearray | memoryview) -> int | None:
        """See `tornado.iostream.BaseIOStream.read_from_fd`."""
        if not self._ahead:
            return super().read_from_fd(buf)
        size = min(len(buf), len(self._ahead))
        buf[:size], self._ahead = self._ahead[:size], self._ahead[size:]
        return size


class _DetachedTLS(_Detached, SSLIOStream):
    __slots__ = ()


def detached(sock: socket.socket, ahead: bytes) -> IOStream:
    """The `IOStream` for `sock`, from which `ahead` has already been read."""
    if not isinstance(sock, ssl.SSLSocket):
        return _Detached(sock, ahead)
    stream = _DetachedTLS(sock, ahead)
    # A new `SSLIOStream` assumes that the handshake is unfinished, and uses the first `write` to
    # continue it: if the stream was closed right after, the bytes of that `write` would be lost.
    stream.write(b"")
    return stream


def closed_stream() -> IOStream:
    """The `IOStream` of a connection that is already closed."""
    stream = IOStream(socket.socket())
    stream.close()
    return stream

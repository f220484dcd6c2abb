"""The plain socket of a WebSocket whose messages no code reads.

To read messages, Tornado keeps an `IOStream`, its HTTP objects and 12 suspended coroutines for each
WebSocket: about 13 KB. This class takes 160 bytes and the socket.

Rules:
1. Pings and the close frame from the client are answered; its messages are checked and dropped.
2. After a close frame from either side, nothing more is sent. From the client, only a close frame
   and the end of the connection still count.
3. A client that closes its connection without a close frame counts as lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Protocol, cast

from tornado.iostream import IOStream, StreamClosedError

from tatsumaki_py.push import frame_reader
from tatsumaki_py.push.counted import FINISHED, PROTOCOL_ERROR, TOO_BIG
from tatsumaki_py.push.frame_reader import FrameReader, RefusedFrame
from tatsumaki_py.push.framing.websocket import CLOSE, PING, PONG, WebSocket, websocket_frame
from tatsumaki_py.push.owner import Owner
from tatsumaki_py.push.sockets import SocketStream, socket_of

__all__ = ["SocketOwner", "WebSocketSocket", "take_socket"]

# The codes with which a client may close (RFC 6455 7.4, and the registry of IANA).
_CODES = {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}

AHEAD = 65536
"""Bytes of frames that a client may send together with its handshake."""
CLOSE_TIMEOUT = 5.0
"""Seconds that a client has to answer a close frame."""


class SocketOwner(Owner, Protocol):
    """The handler that owns the stream."""

    def _stream_said(self, code: int | None, reason: str | None) -> None:
        """The client has sent a close frame."""


def take_socket(
    iostream: IOStream, framing: WebSocket, max_buffer: int, owner: SocketOwner, max_size: int
) -> WebSocketSocket | None:
    """The stream for a detached connection after the handshake; None if it is not a plain socket.

    Args:
        max_size: maximum size of one message from the client, in bytes.
    """
    sock = socket_of(iostream)
    if sock is None:
        return None
    ahead = _read_ahead(iostream)
    iostream.close()
    stream = WebSocketSocket(sock, framing, max_buffer, owner, max_size)
    if ahead:
        asyncio.get_running_loop().call_soon(stream.receive, ahead)
    return stream


def _read_ahead(iostream: IOStream) -> bytes:
    """The bytes that arrived together with the handshake."""
    with contextlib.suppress(StreamClosedError):
        reading = asyncio.ensure_future(iostream.read_bytes(AHEAD + 1, partial=True))
        if reading.done() and reading.exception() is None:
            return reading.result()
    return b""


class WebSocketSocket(SocketStream):
    """Pushes messages, and reads frames."""

    __slots__ = ("_max_size", "_reader", "closing")

    def __init__(
        self,
        sock: socket.socket,
        framing: WebSocket,
        max_buffer: int,
        owner: SocketOwner,
        max_size: int,
    ) -> None:
        super().__init__(sock, framing, max_buffer, owner)
        self._max_size = max_size
        # None while no frame or message is incomplete.
        self._reader: FrameReader | None = None
        self.closing = False
        """Whether a close frame was sent."""

    def _ended(self) -> None:
        self._gone(not self.closing)

    def receive(self, data: bytes) -> None:
        """Read what the client has sent."""
        if self.over:
            return
        reader = self._reader or FrameReader(self._max_size)
        ping = None
        try:
            if len(data) > AHEAD:
                raise RefusedFrame(frame_reader.TOO_BIG, "message too big")
            for opcode, payload in reader.feed(data):
                if opcode == CLOSE:
                    self._end(payload)
                    return
                # Of several pings, answer only the last (RFC 6455 5.5.3).
                ping = payload if opcode == PING else ping
        except RefusedFrame as refused:
            self._refuse(refused)
            return
        self._reader = None if reader.idle else reader
        if ping is not None and not self.closing:
            self.write_wire(websocket_frame(PONG, ping))

    def _end(self, payload: bytes) -> None:
        """The client has sent a close frame: answer it, and close."""
        try:
            if payload and int.from_bytes(payload[:2]) not in _CODES:
                raise RefusedFrame(frame_reader.PROTOCOL_ERROR, "a close code that is not allowed")
            reason = payload[2:].decode()
        except UnicodeDecodeError:
            self._refuse(RefusedFrame(frame_reader.INVALID, "a reason that is not UTF-8"))
            return
        except RefusedFrame as refused:
            self._refuse(refused)
            return
        code = int.from_bytes(payload[:2]) if payload else None
        cast(SocketOwner, self._owner)._stream_said(code, reason or None)
        self._send_close(payload[:2])
        self._gone(False)

    def _refuse(self, refused: RefusedFrame) -> None:
        self.ends(TOO_BIG if refused.code == frame_reader.TOO_BIG else PROTOCOL_ERROR)
        self._send_close(refused.code.to_bytes(2) + refused.reason.encode())
        # Read what is left: closing with unread bytes makes the kernel reset the connection, and
        # the client may lose the close frame.
        with contextlib.suppress(OSError):
            self.wire.recv(AHEAD)
        self._gone(True)

    def _send_close(self, payload: bytes) -> None:
        if not self.closing:
            self.closing = True
            self.write_wire(websocket_frame(CLOSE, payload))
            self.flush()
            if self.tail is not None:
                self.tail.stop()

    def say_goodbye(self, code: int | None, reason: str | None) -> None:
        """Send a close frame after everything that was written, and wait for the client's."""
        if not self.closing and not self.over:
            self.ends(FINISHED)
            text = "" if reason is None else reason
            self._send_close(b"" if code is None else code.to_bytes(2) + text.encode())
            asyncio.get_running_loop().call_later(CLOSE_TIMEOUT, self._gone, False)

    def _shut(self) -> None:
        # The timer wheel keeps this object alive for a while: free an incomplete message now.
        self._reader = None
        super()._shut()

    def _beat(self) -> float | None:
        return None if self.closing else super()._beat()

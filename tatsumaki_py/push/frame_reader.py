"""Reads the frames (RFC 6455 5) of a client whose messages are ignored.

Rules:
1. The reader uses no socket: bytes go in, control frames come out.
2. The reader holds at most one message, of up to `max_size` bytes, until the message is known to be
   valid.
3. A frame that a client must not send raises `RefusedFrame`, before its payload arrives if the
   head of the frame is enough to tell.
"""

from __future__ import annotations

from collections.abc import Iterator

from tatsumaki_py.push.framing.websocket import BINARY, CLOSE, PING, PONG, TEXT

__all__ = ["INVALID", "PROTOCOL_ERROR", "TOO_BIG", "FrameReader", "RefusedFrame"]

PROTOCOL_ERROR, INVALID, TOO_BIG = 1002, 1007, 1009
CONTINUATION = 0x0


class RefusedFrame(Exception):
    """The connection must be closed, with this code and reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class FrameReader:
    """The state of one connection between two reads.

    Args:
        max_size: maximum size of one message, in bytes.

    >>> masked = bytes([0x89, 0x82, 0, 0, 0, 0]) + b"hi"
    >>> list(FrameReader(100).feed(masked))
    [(9, b'hi')]
    """

    __slots__ = ("_buffer", "_max_size", "_message", "_text")

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size
        self._buffer = bytearray()
        # The message whose last fragment has not arrived yet.
        self._message: bytearray | None = None
        self._text = False

    @property
    def idle(self) -> bool:
        """Whether no frame or message is incomplete."""
        return not self._buffer and self._message is None

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Take the bytes of one read. Yields each control frame that they complete, as its opcode
        and payload.
        """
        self._buffer += data
        while (frame := self._next()) is not None:
            first, payload = frame
            opcode = first & 0x0F
            if opcode in (CLOSE, PING, PONG):
                yield opcode, payload
            else:
                self._collect(opcode, payload, final=bool(first & 0x80))

    def _next(self) -> tuple[int, bytes] | None:
        """The first byte and the payload of the next frame, if it is complete."""
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        first, size, start = buffer[0], buffer[1] & 0x7F, 2
        self._check(first, buffer[1])
        if size > 125:
            start = 4 if size == 126 else 10
            if len(buffer) < start:
                return None
            size = int.from_bytes(buffer[2:start])
        if size > self._max_size - len(self._message or b"") and not first & 0x08:
            raise RefusedFrame(TOO_BIG, "message too big")
        end = start + 4 + size
        if len(buffer) < end:
            return None
        mask = int.from_bytes((buffer[start : start + 4] * (size // 4 + 1))[:size])
        payload = (int.from_bytes(buffer[start + 4 : end]) ^ mask).to_bytes(size)
        del buffer[:end]
        return first, payload

    def _check(self, first: int, second: int) -> None:
        opcode = first & 0x0F
        if first & 0x70:
            raise RefusedFrame(PROTOCOL_ERROR, "a reserved bit is set")
        if opcode not in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG):
            raise RefusedFrame(PROTOCOL_ERROR, "a reserved opcode")
        if not second & 0x80:
            raise RefusedFrame(PROTOCOL_ERROR, "a frame without a mask")
        if opcode & 0x08:
            if not first & 0x80 or second & 0x7F > 125:
                raise RefusedFrame(PROTOCOL_ERROR, "a control frame that is fragmented or too long")
        elif (opcode == CONTINUATION) == (self._message is None):
            raise RefusedFrame(PROTOCOL_ERROR, "a fragment out of order")

    def _collect(self, opcode: int, payload: bytes, final: bool) -> None:
        if self._message is None:
            self._message, self._text = bytearray(), opcode == TEXT
        self._message += payload
        if final:
            message, self._message = self._message, None
            try:
                if self._text:
                    message.decode()
            except UnicodeDecodeError:
                raise RefusedFrame(INVALID, "text that is not UTF-8") from None

"""WebSockets."""

from __future__ import annotations

import contextlib
import itertools
import os

from tatsumaki_py.testing.message import BadAnswer, Ended, Message, Place, enveloped, parsed
from tatsumaki_py.testing.readers.reader import Reader

__all__ = ["WebSocket", "frame"]

TEXT, CLOSE, PING, PONG = 0x81, 0x88, 0x89, 0xA


class WebSocket(Reader):
    """Reads the messages of a WebSocket, and answers pings."""

    fields = {  # noqa: RUF012
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
    }

    async def step(self) -> Message | Place | None:
        first, data = await self._frame()
        if first == CLOSE:
            raise Ended(int.from_bytes(data[:2]), data[2:].decode("utf-8", "replace"))
        if first == PING:
            self.beats += 1
            with contextlib.suppress(OSError):
                await self.connection.send(frame(PONG, data))
            return None
        if first != TEXT:
            raise BadAnswer(f"a frame that begins with {first:#x} is not a text message")
        return enveloped(parsed(data))

    async def _frame(self) -> tuple[int, bytes]:
        """The first byte and the data of the next frame."""
        head = b""
        try:
            head += await self.connection.read_exactly(2)
            size = head[1]
            if size > 125:
                head += await self.connection.read_exactly(2 if size == 126 else 8)
                size = int.from_bytes(head[2:])
            return head[0], await self.connection.read_exactly(size)
        except BaseException:
            # After a timeout, the next call reads this frame.
            self.connection.unread(head)
            raise


def frame(opcode: int, data: bytes = b"") -> bytes:
    """One masked frame from a client (RFC 6455 5.2), with up to 65535 bytes of data."""
    mask = os.urandom(4)
    masked = bytes(byte ^ key for byte, key in zip(data, itertools.cycle(mask), strict=False))
    size = len(data)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2)
    return bytes([0x80 | opcode]) + length + mask + masked

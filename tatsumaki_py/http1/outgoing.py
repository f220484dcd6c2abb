"""Bytes of an answer that the kernel has not taken yet."""

from __future__ import annotations

import asyncio
import socket
from collections import deque

from tornado.iostream import StreamClosedError

from tatsumaki_py.push.stream import WOULD_BLOCK

__all__ = ["Outgoing", "failed"]


def failed() -> asyncio.Future[None]:
    """The result of a write to a closed connection. No error is logged if no code awaits it."""
    future = asyncio.get_running_loop().create_future()
    future.set_exception(StreamClosedError())
    future.exception()
    return future


class Outgoing:
    """The bytes that wait to be sent on one connection, in order."""

    __slots__ = ("_added", "_futures", "_parts", "_sent")

    def __init__(self) -> None:
        self._parts: deque[memoryview] = deque()
        self._added = 0
        self._sent = 0
        # The future of each write, and the number of bytes up to its end.
        self._futures: deque[tuple[int, asyncio.Future[None]]] = deque()

    def add(self, data: memoryview) -> asyncio.Future[None]:
        """Send `data` after the rest; see `end`."""
        if data:
            self._parts.append(data)
            self._added += len(data)
        return self.end()

    @property
    def size(self) -> int:
        """The number of bytes."""
        return self._added - self._sent

    def end(self) -> asyncio.Future[None]:
        """A future that is done when the kernel has taken all bytes added so far. The program may
        cancel it.
        """
        future = asyncio.get_running_loop().create_future()
        self._futures.append((self._added, future))
        return future

    def send(self, sock: socket.socket) -> bool:
        """Send what the kernel takes. Returns whether no bytes are left. Raises `OSError`."""
        while self._parts:
            part = self._parts[0]
            try:
                sent = sock.send(part)
            except WOULD_BLOCK:
                break
            self._sent += sent
            if sent == len(part):
                self._parts.popleft()
            else:
                self._parts[0] = part[sent:]
        while self._futures and self._futures[0][0] <= self._sent:
            _, future = self._futures.popleft()
            if not future.done():
                future.set_result(None)
        return not self._parts

    def release(self) -> None:
        """Another object sends the rest: the code that waits for it continues."""
        for _, future in self._futures:
            if not future.done():
                future.set_result(None)

    def rest(self) -> bytes:
        """The bytes that are not sent."""
        return b"".join(self._parts)

    def fail(self) -> None:
        """The connection has been closed."""
        for _, future in self._futures:
            if not future.done():
                future.set_exception(StreamClosedError())
                future.exception()

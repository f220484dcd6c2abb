"""Tornado's connections without a reference cycle, and with less memory while they are idle.

A `tornado.iostream.IOStream` keeps the error that closed it. The frames of that error's traceback
refer to the `IOStream` and to objects that used it, such as a handler, so only the garbage
collector would free them. An `IOStream` also has two queues for data to write, which take 1.7 KB
even while they are empty.

Rules:
1. The error of a `ForgettingStream` has no traceback, and does not refer to another error.
2. Nothing is put into `_NOTHING`: `write` makes new queues first.

Uses names that Tornado does not document: `_write_buffer`, `_write_futures`
(``t/handler/test_tornado_contract.py``).
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Iterator
from typing import Any

from tornado.iostream import IOStream, SSLIOStream, _StreamBuffer

__all__ = ["ForgettingStream", "adopt"]


class _Nothing:
    """Stands in for an empty queue."""

    __slots__ = ()

    def __len__(self) -> int:
        return 0

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def clear(self) -> None:
        pass


_NOTHING: Any = _Nothing()


def _nothing() -> None:
    pass


class ForgettingStream(IOStream):
    """A connection without TLS."""

    def rest(self) -> None:
        """Nothing will be written for a while: free the queues if they are empty."""
        if not (self.closed() or self._write_buffer or self._write_futures):
            self._write_buffer = self._write_futures = _NOTHING

    def write(self, data: bytes | memoryview) -> asyncio.Future[None]:
        """See `tornado.iostream.BaseIOStream.write`."""
        if self._write_buffer is _NOTHING:
            self._write_buffer, self._write_futures = _StreamBuffer(), deque()
        return super().write(data)

    def close(self, exc_info: Any = False) -> None:
        """See `tornado.iostream.BaseIOStream.close`."""
        super().close(exc_info)
        _forget(self)

    def part(self) -> socket.socket:
        """The socket, which `close` leaves open from now on."""
        # Tornado calls `close_fd` to close the socket.
        self.close_fd = _nothing  # type: ignore[method-assign]
        return self.socket


class _TLS(ForgettingStream, SSLIOStream):
    pass


_ADOPTED: dict[type, type[IOStream]] = {IOStream: ForgettingStream, SSLIOStream: _TLS}


def adopt(iostream: IOStream | None) -> None:
    """Make `iostream` a `ForgettingStream`, if its class is one of Tornado's."""
    adopted = _ADOPTED.get(type(iostream))
    if adopted is not None and iostream is not None:
        # Change the object in place, because Tornado continues to use it.
        iostream.__class__ = adopted
        _forget(iostream)


def _forget(iostream: IOStream) -> None:
    error = iostream.error
    if error is not None:
        # Also drop an earlier error that was being handled, such as that of a malformed request.
        error.__traceback__ = error.__context__ = error.__cause__ = None

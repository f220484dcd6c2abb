"""Tornado's connections without a reference cycle, and with less memory while they are idle.

A `tornado.iostream.IOStream` keeps the error that closed it. The error has a traceback, whose
frames refer to the `IOStream` and to objects that used it, such as a handler. Only the garbage
collector would free them.

An `IOStream` has two queues for data to write. They take 1.7 KB, even while they are empty.

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
    """Replaces an empty queue."""

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
    """A plain connection."""

    def rest(self) -> None:
        """Free the queues, if they are empty, because nothing will be written for a while."""
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
        """The socket. From now on, `close` leaves it open."""
        # Tornado calls it to close the socket.
        self.close_fd = _nothing  # type: ignore[method-assign]
        return self.socket


class _TLS(ForgettingStream, SSLIOStream):
    pass


_ADOPTED: dict[type, type[IOStream]] = {IOStream: ForgettingStream, SSLIOStream: _TLS}


def adopt(iostream: IOStream | None) -> None:
    """Make `iostream` a `ForgettingStream`, if its class is one of Tornado's."""
    adopted = _ADOPTED.get(type(iostream))
    if adopted is not None and iostream is not None:
        # In place, because Tornado continues to use this object.
        iostream.__class__ = adopted
        _forget(iostream)


def _forget(iostream: IOStream) -> None:
    error = iostream.error
    if error is not None:
        # The error that was being handled at that time, such as a malformed request, has one, too.
        error.__traceback__ = error.__context__ = error.__cause__ = None

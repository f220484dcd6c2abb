"""Tornado's connections without a reference cycle, and with less memory while nothing is written.

A `tornado.iostream.IOStream` keeps the error that closed it. The error has a traceback, whose
frames refer to the `IOStream` and to what was busy with it, such as a handler. Only the garbage
collector would free them.

An `IOStream` has two queues for what is written. They take 1.7 KB, also while they are empty.

Rules:
1. The error of a `ForgettingStream` has no traceback, and no other error behind it.
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
    """In place of a queue that is empty."""

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
        """Give the queues back, if they are empty: nothing will be written for a while."""
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
        # In place, because Tornado goes on with this object.
        iostream.__class__ = adopted
        _forget(iostream)


def _forget(iostream: IOStream) -> None:
    error = iostream.error
    if error is not None:
        # An error that was being handled then, such as a malformed request, has a traceback, too.
        error.__traceback__ = error.__context__ = error.__cause__ = None

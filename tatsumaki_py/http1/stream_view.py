"""`request.connection.stream`, for programs that inspect the connection of a request."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from tornado.ioloop import IOLoop

from tatsumaki_py.http1.line import Line

__all__ = ["StreamView"]


class StreamView:
    """Has those names of a `tornado.iostream.IOStream` that are useful while the server owns the
    connection. `HTTPServerRequest.get_ssl_certificate` uses `socket`. To read, use `detach`.
    """

    __slots__ = ("_line", "set_close_callback")

    def __init__(
        self, line: Line, set_close_callback: Callable[[Callable[[], None] | None], None]
    ) -> None:
        self._line = line
        self.set_close_callback = set_close_callback

    @property
    def socket(self) -> socket.socket:
        return self._line.sock

    @property
    def io_loop(self) -> IOLoop:
        return IOLoop.current()

    @property
    def error(self) -> BaseException | None:
        return ConnectionResetError() if self._line.reset else None

    @property
    def max_write_buffer_size(self) -> int | None:
        return self._line.max_write_buffer_size

    @max_write_buffer_size.setter
    def max_write_buffer_size(self, size: int | None) -> None:
        self._line.max_write_buffer_size = size

    def fileno(self) -> int:
        return self._line.sock.fileno()

    def closed(self) -> bool:
        return self._line.closed()

    def writing(self) -> bool:
        return self._line.unsent()

    def write(self, data: bytes) -> asyncio.Future[None]:
        return self._line.write(data)

    def set_nodelay(self, value: bool) -> None:
        """Does nothing: the kernel always sends immediately."""

    def close(self) -> None:
        self._line.close()

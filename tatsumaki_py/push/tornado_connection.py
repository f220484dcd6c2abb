"""Tornado's own connections, as handlers see them.

Rules:
1. `HangUps` notices a client that leaves while its answer waits, even if the client has sent more
   than its request. Closing the connection the way Tornado does calls the close callback.
2. Only the callback of `when_sent` refers to a handler, until it is called.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from tornado.http1connection import HTTP1Connection
from tornado.httputil import HTTPConnection
from tornado.iostream import IOStream

from tatsumaki_py.iostream import ForgettingStream, adopt
from tatsumaki_py.push.client_connection import UNKNOWN, ClientConnection
from tatsumaki_py.push.framing import Framing
from tatsumaki_py.push.hangup import HangUps, ask_peer, hung_up, was_reset
from tatsumaki_py.push.owner import Owner
from tatsumaki_py.push.sockets import take_over
from tatsumaki_py.push.stream import Stream

__all__ = ["adopt_connection", "client_connection"]


def client_connection(connection: HTTPConnection | None) -> ClientConnection:
    """`connection` itself if it is a `ClientConnection`, else a `ClientConnection` for it."""
    if isinstance(connection, ClientConnection):
        return connection
    adopt_connection(connection)
    if isinstance(getattr(connection, "stream", None), IOStream):
        return _TornadoConnection(connection)
    return UNKNOWN


def adopt_connection(connection: HTTPConnection | None) -> None:
    """See `tatsumaki_py.iostream.adopt`. Does nothing for a `ClientConnection`."""
    if not isinstance(connection, ClientConnection):
        adopt(getattr(connection, "stream", None))


class _TornadoConnection(ClientConnection):
    """A `tornado.http1connection.HTTP1Connection`."""

    __slots__ = ("_connection", "_hang_ups", "_watched")

    _hang_ups: HangUps

    def __init__(self, connection: Any) -> None:
        self._connection: HTTP1Connection = connection
        # The descriptor that `HangUps` watches.
        self._watched: int | None = None

    @property
    def _iostream(self) -> IOStream | None:
        """None if the program has detached it."""
        return self._connection.stream

    def closed(self) -> bool:
        stream = self._iostream
        return stream is not None and stream.closed()

    def hung_up(self) -> bool:
        stream = self._iostream
        return stream is not None and (stream.closed() or hung_up(stream.socket.fileno()))

    def was_reset(self) -> bool:
        stream = self._iostream
        if stream is None:
            return False
        return stream.error is not None if stream.closed() else was_reset(stream.socket.fileno())

    def waits(self) -> None:
        stream = self._iostream
        if isinstance(stream, ForgettingStream):
            stream.rest()
        if self._watched is None and stream is not None and not stream.closed():
            ask_peer(stream.socket)
            self._watched = stream.socket.fileno()
            self._hang_ups = HangUps.current()
            self._hang_ups.watch(self._watched, self._hang_up)

    def answers(self) -> None:
        if self._watched is not None:
            self._hang_ups.forget(self._watched)
            self._watched = None

    def _hang_up(self) -> None:
        self._watched = None
        stream = self._iostream
        if stream is not None:
            stream.close(ConnectionResetError() if self.was_reset() else None)

    def when_sent(self, callback: Callable[[bool], None]) -> bool:
        stream = self._iostream
        if stream is None:
            return False
        if stream.closed() and stream.error is not None:
            asyncio.get_running_loop().call_soon(callback, True)
            return True
        if not stream.writing():
            return False

        def written(done: asyncio.Future[None]) -> None:
            callback(done.cancelled() or done.exception() is not None)

        # An empty write completes when all earlier writes have.
        stream.write(b"").add_done_callback(written)
        return True

    def take_over(self, framing: Framing, max_buffer: int, owner: Owner) -> Stream:
        self.answers()
        return take_over(self._connection.detach(), framing, max_buffer, owner)

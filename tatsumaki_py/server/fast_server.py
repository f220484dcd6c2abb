"""The HTTP server that reads requests with llhttp (`tatsumaki_py.http1`)."""

from __future__ import annotations

import asyncio
import functools
import math
import socket
import ssl
import sys
from collections.abc import Iterable
from typing import Any

from tornado.http1connection import _GzipMessageDelegate
from tornado.httputil import HTTPMessageDelegate

from tatsumaki_py.http1.client_address import ClientAddress
from tatsumaki_py.http1.connection import Connection
from tatsumaki_py.http1.exchange import Exchange
from tatsumaki_py.http1.handshake import Handshake
from tatsumaki_py.http1.idle import Idle
from tatsumaki_py.http1.line import Line
from tatsumaki_py.push.hangup import probe
from tatsumaki_py.request_delegate import lean
from tatsumaki_py.server.http_server import ListeningServer, ServerConnection
from tatsumaki_py.strict_http import HEAD_TIMEOUT

__all__ = ["FastServer"]

MAX_BODY = 100 * 1024 * 1024
"""Bytes; Tornado's limit."""


class FastServer(ListeningServer):
    """Has the options and the methods of `tornado.httpserver.HTTPServer`.

    Uses one more undocumented name of Tornado: `_GzipMessageDelegate`
    (``t/handler/test_tornado_contract.py``).
    """

    _done: asyncio.Future[None] | None = None

    def initialize(self, *args: Any, **kwargs: Any) -> None:
        super().initialize(*args, **kwargs)
        self.request_callback = lean(self.request_callback)
        params = self.conn_params
        limit = params.max_body_size
        self.max_body = (self.max_buffer_size or MAX_BODY) if limit is None else limit
        self.idle = Idle(params.header_timeout or math.inf)
        self._connections: set[Connection | Handshake] = set()  # type: ignore[assignment]

    def add_sockets(self, sockets: Iterable[socket.socket]) -> None:
        """See `tornado.tcpserver.TCPServer.add_sockets`."""
        sockets = list(sockets)
        for sock in sockets:
            # On Linux, accepted connections inherit these options.
            _prepare(sock)
        super().add_sockets(sockets)

    @property
    def done(self) -> asyncio.Future[None]:
        """See `ConnectionServer.done`."""
        if self._done is None:
            self._done = asyncio.get_running_loop().create_future()
            self._done.set_result(None)
        return self._done

    def connections(self) -> list[ServerConnection]:
        """See `ListeningServer.connections`. Leaves out connections whose last answer has been
        sent.
        """
        return [one for one in self._connections if not one.lingers]

    async def close_all_connections(self) -> None:
        """See `tornado.httpserver.HTTPServer.close_all_connections`."""
        for connection in list(self._connections):
            connection.close()
        self.idle.clear()
        # Their handlers are notified in the next iteration.
        await asyncio.sleep(0)

    def serve_connection(self, connection: socket.socket, address: Any) -> None:
        """See `ListeningServer.serve_connection`."""
        connection.setblocking(False)
        if sys.platform != "linux":
            _prepare(connection)
        if isinstance(connection, ssl.SSLSocket):
            seconds = min(self.conn_params.header_timeout or HEAD_TIMEOUT, HEAD_TIMEOUT)
            complete = functools.partial(self._accepted, connection, address, "https")
            self._connections.add(Handshake(self, connection, seconds, complete))
        else:
            self._accepted(connection, address, "http")

    def _accepted(self, connection: socket.socket, address: Any, protocol: str) -> None:
        protocol = self.protocol or protocol
        client = ClientAddress(connection.family, address, protocol, self._trusted)
        self._connections.add(Connection(self, connection, client))

    def start_message(self, connection: Line, exchange: Exchange) -> HTTPMessageDelegate:
        """See `ConnectionServer.start_message`."""
        delegate = self.start_request(connection, exchange)
        if self.conn_params.decompress:
            delegate = _GzipMessageDelegate(
                delegate, self.conn_params.chunk_size, exchange.max_body_size
            )
        return delegate

    def on_close(self, server_conn: Any) -> None:
        """See `ConnectionServer.on_close`."""
        self._connections.discard(server_conn)


def _prepare(sock: socket.socket) -> None:
    """Make the kernel notice a client that vanishes, and send answers immediately."""
    probe(sock)
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

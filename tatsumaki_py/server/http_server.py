"""The common part of both HTTP servers, and the server that uses Tornado's HTTP code."""

from __future__ import annotations

import contextlib
import logging
import math
import socket
import ssl
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from tornado.httpserver import HTTPServer, _HTTPRequestContext
from tornado.httputil import HTTPConnection, HTTPMessageDelegate
from tornado.iostream import IOStream
from tornado.netutil import ssl_wrap_socket

try:
    import resource
except ImportError:
    # Windows has no such limit.
    resource = None  # type: ignore[assignment]

from tatsumaki_py.counters import COUNTERS, traffic
from tatsumaki_py.strict_http import (
    HeadStream,
    StrictConnection,
    StrictServing,
    TLSHeadStream,
    tls_context,
)

__all__ = ["LIMITS", "ListeningServer", "ServerConnection", "StrictServer"]

_log = logging.getLogger("tatsumaki")

LIMITS = {
    # Parsing cookies of 64 KiB, Tornado's own limit, would block the loop for 70 ms.
    "max_header_size": 32 * 1024,
    "max_body_size": 16 * 1024 * 1024,
    "body_timeout": 60.0,
    "idle_connection_timeout": 120.0,
}
"""Default limits for a client in bytes and seconds. Tornado's own are 64 KiB, 100 MiB, none and an
hour.
"""


MAX_QUEUED = 4096
"""Connections that `ListeningServer.stop` accepts from one socket."""


class ServerConnection(Protocol):
    """A connection of requests and answers, as the stopping server sees it."""

    @property
    def idle(self) -> bool:
        """Whether no byte of a request has arrived."""

    @property
    def handler(self) -> object:
        """The handler whose answer is incomplete. None while the request is being read."""

    def closed(self) -> bool:
        """Whether the connection is closed."""

    def close(self) -> None:
        """Close the connection."""


class ListeningServer(HTTPServer):
    """Refuses connections shortly before the process runs out of file descriptors. When it stops
    listening, it loses no waiting connection.

    Uses two undocumented names of Tornado: `_connections`, `_handle_connection`
    (``t/handler/test_tornado_contract.py``).
    """

    def initialize(self, *args: Any, **kwargs: Any) -> None:
        super().initialize(*args, **kwargs)
        if self.ssl_options is not None:
            self.ssl_options = tls_context(self.ssl_options)
        self._last = _max_descriptors() - 32
        self._trusted = set(self.trusted_downstream or ())
        self._listening: list[socket.socket] = []

    def add_sockets(self, sockets: Iterable[socket.socket]) -> None:
        """See `tornado.tcpserver.TCPServer.add_sockets`."""
        sockets = list(sockets)
        super().add_sockets(sockets)
        self._listening += sockets

    def stop(self) -> None:
        """Accept the connections in the backlog, and stop listening. The kernel would reset these
        connections when their socket is closed, even if another process listens on that port
        (SO_REUSEPORT).
        """
        listening, self._listening = self._listening, []
        for sock in listening:
            self._accept_waiting(sock)
        super().stop()

    def _accept_waiting(self, sock: socket.socket) -> None:
        for _ in range(MAX_QUEUED):
            try:
                # Not `sock.accept`, which leaves connections to other processes (`turns`).
                connection, address = socket.socket.accept(sock)
            except ConnectionAbortedError:
                continue
            except OSError:
                # The backlog is empty, or there is no descriptor for the next connection.
                return
            self._handle_connection(connection, address)

    def keep_no_connection(self) -> None:
        """Let each connection end after its next answer."""
        self.conn_params.no_keep_alive = True

    def connections(self) -> Sequence[ServerConnection]:
        """The connections of requests and answers, without those of streams, which are detached."""
        raise NotImplementedError

    def load(self) -> int:
        """The number of the server's connections, including the streams of the process."""
        detached = sum(one.open for one in COUNTERS.traffic.values()) - traffic("long-poll").open
        return len(self._connections) + detached

    def _handle_connection(self, connection: socket.socket, address: Any) -> None:
        # A new descriptor gets the lowest free number.
        if connection.fileno() > self._last:
            COUNTERS.refused["descriptors"] += 1
            connection.close()
            return
        if self.ssl_options is None:
            self.serve_connection(connection, address)
            return
        try:
            # Wrapping fails if the client is gone, and Python would not close the socket.
            connection.getpeername()
            encrypted = ssl_wrap_socket(
                connection, self.ssl_options, server_side=True, do_handshake_on_connect=False
            )
        except OSError as error:
            # Tornado would pass most of these errors on to the loop, with a traceback.
            _log.debug("a connection ended before its TLS handshake: %s", str(error))
            connection.close()
            return
        self.serve_connection(encrypted, address)

    def serve_connection(self, connection: socket.socket, address: Any) -> None:
        """Serve requests on an accepted connection. With TLS, its handshake comes first."""
        raise NotImplementedError


class StrictServer(ListeningServer):
    """Uses Tornado's HTTP code, but reads heads strictly.

    Uses one more undocumented name of Tornado: `_HTTPRequestContext`
    (``t/handler/test_shortcuts.py``).
    """

    def connections(self) -> list[HeadStream]:
        """See `ListeningServer.connections`."""
        streams = [connection.stream for connection in self._connections]
        return [stream for stream in streams if isinstance(stream, HeadStream)]

    def serve_connection(self, connection: socket.socket, address: Any) -> None:
        """See `ListeningServer.serve_connection`."""
        sizes = {"max_buffer_size": self.max_buffer_size, "read_chunk_size": self.read_chunk_size}
        if isinstance(connection, ssl.SSLSocket):
            stream = TLSHeadStream(connection, **sizes)
            stream.limit_handshake()
            self.handle_stream(stream, address)
        else:
            self.handle_stream(HeadStream(connection, **sizes), address)

    def handle_stream(self, stream: IOStream, address: Any) -> None:
        context = _HTTPRequestContext(stream, address, self.protocol)
        # Replaces the set that Tornado makes for each connection.
        context.trusted_downstream = self._trusted
        connection = StrictServing(stream, self.conn_params, context)
        self._connections.add(connection)
        connection.start_serving(self)

    def start_request(
        self, server_conn: object, request_conn: HTTPConnection
    ) -> HTTPMessageDelegate:
        """See `tornado.httputil.HTTPServerConnectionDelegate.start_request`."""
        assert isinstance(request_conn, StrictConnection)
        if isinstance(request_conn.stream, HeadStream):
            request_conn.stream.await_head(request_conn)
        return super().start_request(server_conn, request_conn)


def _max_descriptors() -> float:
    """Raise the soft limit of open descriptors to the hard limit, and return it."""
    if resource is None:
        return math.inf
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    return soft

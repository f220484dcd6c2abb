"""Server: run an application until it is told to stop.

    Server(port=5000).run(app)

Source: ``Tatsumaki::Server``, ``plackup``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import signal
import socket
import sys
import warnings
from typing import Any

import tornado.web
from tornado.http1connection import HTTP1Connection
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPConnection, HTTPMessageDelegate, HTTPServerConnectionDelegate
from tornado.ioloop import IOLoop
from tornado.iostream import IOStream
from tornado.netutil import bind_sockets, ssl_wrap_socket

from tatsumaki_py.logger import LineFormatter, guard
from tatsumaki_py.message_queue import MessageQueue
from tatsumaki_py.strict_http import HeadStream, StrictConnection, TLSHeadStream, tls_context

__all__ = ["Server"]

_log = logging.getLogger("tatsumaki")

BACKLOG = 4096
"""Connections that may wait to be accepted. With Tornado's 128, a thousand clients that connect at
once wait for seconds.
"""
LIMITS = {
    # Cookies of 64 KiB, Tornado's own limit, would take the loop 70 ms to parse.
    "max_header_size": 32 * 1024,
    "max_body_size": 16 * 1024 * 1024,
    "body_timeout": 60.0,
    "idle_connection_timeout": 120.0,
}
"""Bytes and seconds that a client may take, unless `options` say more; Tornado's own are 64 KiB,
100 MiB, for ever and an hour.
"""
GRACE = 1.0
"""Seconds that the last answers get to go out."""


class Server:
    """Serves on one address until SIGINT (Ctrl-C) or SIGTERM.

    Args:
        host: the address to listen on. Default: the environment's HOST, else 127.0.0.1, so not the
            network.
        port: 0 for any that is free. Default: the environment's PORT, else 5000 (plackup's).
        options: the options of `tornado.httpserver.HTTPServer`, such as ``xheaders`` or
            ``ssl_options``.
    """

    def __init__(self, host: str | None = None, port: int | None = None, **options: Any) -> None:
        self.host = host or os.environ.get("HOST") or "127.0.0.1"
        self.port = port if port is not None else os.environ.get("PORT") or 5000
        self.options = LIMITS | options

    def run(self, app: tornado.web.Application) -> None:
        """Serve `app`, and print its URL on stdout. If the address cannot be listened on, exit with
        status 1 and one line on stderr.

        Timers and callbacks that were scheduled on `tornado.ioloop.IOLoop.current` before run, too.

        Logs to stderr, unless logging is set up already. Each record is one line there, and a
        traceback the indented lines after it. Control characters, which may be a client's, are
        escaped in that whole log; in a log that you set up yourself, in all that Tornado logs.

        With TATSUMAKI_DEBUG=1 in the environment, the logger ``tatsumaki`` has level DEBUG. Clients
        see no difference.
        """
        if not isinstance(app, HTTPServerConnectionDelegate):
            raise TypeError(f"Server.run takes an Application(...), not {app!r}")
        handler = logging.StreamHandler()
        handler.setFormatter(LineFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logging.basicConfig(level=logging.INFO, handlers=[handler])
        guard()
        # By Perl's rule for true.
        if os.environ.get("TATSUMAKI_DEBUG", "") not in ("", "0"):
            logging.getLogger("tatsumaki").setLevel(logging.DEBUG)
        sockets = self._bind()
        try:
            with asyncio.Runner(loop_factory=_loop) as runner:
                runner.run(self._serve(app, sockets))
        finally:
            # The loop is closed: another server of this process needs a new one.
            asyncio.set_event_loop(None)
            for sock in sockets:
                sock.close()

    def _bind(self) -> list[socket.socket]:
        try:
            port = int(self.port)
        except ValueError:
            port = -1
        if not 0 <= port <= 65535:
            sys.exit(f"PORT is a number from 0 to 65535, not {self.port!r}")
        try:
            return bind_sockets(port, self.host, backlog=BACKLOG)
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or error
            sys.exit(f"Cannot listen on {self.host}:{port}: {reason}")

    async def _serve(self, app: tornado.web.Application, sockets: list[socket.socket]) -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        # From now on, not only from the first poll, a call from another thread raises.
        MessageQueue._registry.thread.claim()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        server = _HTTPServer(app, **self.options)
        server.add_sockets(sockets)
        host = f"[{self.host}]" if ":" in self.host else self.host
        scheme = "https" if self.options.get("ssl_options") else "http"
        self.port = sockets[0].getsockname()[1]
        print(f"Listening on {scheme}://{host}:{self.port}/ (Ctrl-C stops)", flush=True)
        await stop.wait()
        server.stop()
        for queue in MessageQueue.channels():
            queue.disconnect()
        # A client that keeps its connection open does not delay the end.
        await asyncio.sleep(0.05)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(server.close_all_connections(), GRACE)


class _HTTPServer(HTTPServer):
    """Refuses connections while there are still descriptors left to accept them with, and reads
    heads strictly.

    Uses one undocumented name of Tornado: `_handle_connection`
    (``t/handler/test_tornado_contract.py``).
    """

    def initialize(self, *args: Any, **kwargs: Any) -> None:
        super().initialize(*args, **kwargs)
        if self.ssl_options is not None:
            self.ssl_options = tls_context(self.ssl_options)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != hard:
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
                soft = hard
        self._last = soft - 32
        self._trusted = set(self.trusted_downstream or ())

    def handle_stream(self, stream: IOStream, address: Any) -> None:
        # A descriptor is the lowest number that is free.
        if stream.socket.fileno() > self._last:
            stream.close()
            return
        super().handle_stream(stream, address)

    def _handle_connection(self, connection: socket.socket, address: Any) -> None:
        sizes = {"max_buffer_size": self.max_buffer_size, "read_chunk_size": self.read_chunk_size}
        if self.ssl_options is None:
            self.handle_stream(HeadStream(connection, **sizes), address)
            return
        try:
            # Fails if the client is gone. Python would not close a socket that it cannot wrap.
            connection.getpeername()
            connection = ssl_wrap_socket(
                connection, self.ssl_options, server_side=True, do_handshake_on_connect=False
            )
        except OSError as error:
            # Tornado would let most of these errors through to the loop, with a traceback.
            _log.debug("a connection ended before its TLS handshake: %s", str(error))
            connection.close()
            return
        stream = TLSHeadStream(connection, **sizes)
        stream.limit_handshake()
        self.handle_stream(stream, address)

    def start_request(
        self, server_conn: object, request_conn: HTTPConnection
    ) -> HTTPMessageDelegate:
        assert isinstance(request_conn, HTTP1Connection)
        request_conn.__class__ = StrictConnection
        if isinstance(request_conn.stream, HeadStream):
            request_conn.stream.await_head()
        # In place of the set that Tornado makes for each connection.
        request_conn.context.trusted_downstream = self._trusted  # type: ignore[attr-defined]
        return super().start_request(server_conn, request_conn)


def _loop() -> asyncio.AbstractEventLoop:
    """The current loop, on which the program may have scheduled callbacks before `run`, such as the
    timer of a service or Tornado's watch over the program's files.
    """
    with warnings.catch_warnings():
        # Python 3.12 and 3.13 warn that the current loop is made now.
        warnings.simplefilter("ignore", DeprecationWarning)
        loop: asyncio.AbstractEventLoop = IOLoop.current().asyncio_loop  # type: ignore[attr-defined]
        return loop

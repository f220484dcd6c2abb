"""Server: run an application until it is told to stop.

    Server(port=5000).run(app)

Source: ``Tatsumaki::Server``, ``plackup``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from typing import Any

import tornado.web
from tornado.httputil import HTTPServerConnectionDelegate
from tornado.netutil import bind_sockets

from tatsumaki_py.application import Application
from tatsumaki_py.control_characters import escape_controls
from tatsumaki_py.life import Life, StartError, current_loop
from tatsumaki_py.logger import LineFormatter, guard
from tatsumaki_py.message_queue import MessageQueue
from tatsumaki_py.server.drain import drain
from tatsumaki_py.server.http_server import LIMITS, StrictServer

__all__ = ["Server"]

_log = logging.getLogger("tatsumaki")

BACKLOG = 4096
"""Connections that may wait to be accepted. With Tornado's 128, a thousand clients that connect at
once wait for seconds.
"""


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
        self._bound: list[socket.socket] = []
        self._loop: asyncio.AbstractEventLoop | None = None

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
        self._bound = self._bind()
        try:
            with asyncio.Runner(loop_factory=current_loop) as runner:
                runner.run(self.serve(app))
        except StartError as error:
            _log.debug("why", exc_info=error)
            sys.exit(escape_controls(str(error)))
        finally:
            # The loop is closed: another server of this process needs a new one.
            asyncio.set_event_loop(None)

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

    async def serve(self, app: tornado.web.Application) -> None:
        """Serve `app` in the running loop until a signal or `stop`. `run` does this, and sets up
        the log.

        Raises `StartError` if a service or an `Application.on_start` hook fails.
        """
        self._bound = self._bound or self._bind()
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        # From now on, not only from the first poll, a call from another thread raises.
        MessageQueue._registry.thread.claim()
        life = app._life if isinstance(app, Application) else Life()
        try:
            with self._signals():
                if await self._start_services(life):
                    await self._listen(app, life)
        finally:
            for sock in self._bound:
                sock.close()
            self._bound, self._loop = [], None

    def stop(self) -> None:
        """Stop as after a signal. Any thread may call it; it returns at once."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGINT, signal.SIGTERM)
        for number in numbers:
            loop.add_signal_handler(number, self._stopping.set)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)

    async def _start_services(self, life: Life) -> bool:
        """Start the services. False if the server is told to stop meanwhile."""
        start = asyncio.ensure_future(life.start())
        stopped = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait([start, stopped], return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not start.done():
            start.cancel()
            await asyncio.wait([start])
        if start.cancelled():
            return False
        start.result()
        return True

    async def _listen(self, app: tornado.web.Application, life: Life) -> None:
        server = StrictServer(app, **self.options)
        server.add_sockets(self._bound)
        host = f"[{self.host}]" if ":" in self.host else self.host
        scheme = "https" if self.options.get("ssl_options") else "http"
        self.port = self._bound[0].getsockname()[1]
        print(f"Listening on {scheme}://{host}:{self.port}/ (Ctrl-C stops)", flush=True)
        await self._stopping.wait()
        await drain(server, life)

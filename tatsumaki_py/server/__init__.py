"""Server: run an application until a signal or `stop`.

    Server(port=5000).run(app)

Source: ``Tatsumaki::Server``, ``plackup``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import threading
from collections.abc import Iterable
from typing import Any

import tornado.web
from tornado.httputil import HTTPServerConnectionDelegate

from tatsumaki_py.application import Application
from tatsumaki_py.control_characters import escape_controls
from tatsumaki_py.life import Life, StartError, current_loop, end_all_tasks
from tatsumaki_py.logger import log_to_stderr
from tatsumaki_py.message_queue import EngineError, MessageQueue
from tatsumaki_py.program import refuse_while_loading
from tatsumaki_py.server import signals, systemd
from tatsumaki_py.server.addresses import Addresses, ListenError
from tatsumaki_py.server.drain import Drain, Limits
from tatsumaki_py.server.http_server import LIMITS, StrictServer

__all__ = ["Server"]

_log = logging.getLogger("tatsumaki")


class Server:
    """Serves until SIGINT (Ctrl-C), SIGTERM or `stop`.

    Args:
        host: a name or an address to listen on, or several. Default: TATSUMAKI_HOST in the
            environment, else 127.0.0.1, not reachable from the network.
        port: the port of each of them; 0 for any free port. Default: TATSUMAKI_PORT in the
            environment, else PORT, else 5000 (plackup's).
        unix: the path of a Unix socket. Without `host` and `port`, it is the only address. The file
            is removed at the end. A socket that an earlier process left behind is replaced.
        mode: the permissions of that file. Default: 0o660, its owner and group.
        reuse_port: whether other processes may listen on the same port; the kernel gives each
            connection to one of them. Default: False.
        grace: seconds that requests in flight, and slow readers, get to end when the server stops.
            Default: 10.
        drain_delay: seconds in which the server still accepts requests, but `HealthHandler` answers
            503, before it stops listening. For load balancers. Default: 0.
        drain_time: seconds over which the clients of streams and long polls reconnect, at most. The
            server sends them delays that are one millisecond apart, or less. Default: 30.
        options: the options of `tornado.httpserver.HTTPServer`, such as ``xheaders`` or
            ``ssl_options``.

    If systemd opened sockets for this process (socket activation), they are used in place of all
    these addresses.

    Raises `ValueError` for an invalid value or combination. `run` checks the values of the
    environment.
    """

    def __init__(
        self,
        host: str | Iterable[str] | None = None,
        port: int | None = None,
        *,
        unix: str | os.PathLike[str] | None = None,
        mode: int = 0o660,
        reuse_port: bool = False,
        grace: float = 10.0,
        drain_delay: float = 0.0,
        drain_time: float = 30.0,
        **options: Any,
    ) -> None:
        self._addresses = Addresses(host, port, unix, mode, reuse_port)
        self._limits = Limits(grace, drain_delay, drain_time)
        self.options = LIMITS | options
        self.listening = threading.Event()
        """Set while clients can connect, for a thread that waits for the server to start."""
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def port(self) -> int | None:
        """The port that the server listens on, or will. None if there is no TCP port."""
        return self._addresses.port

    def run(self, app: tornado.web.Application) -> None:
        """Serve `app`, and print each address on stdout, one line each. If an address cannot be
        used, the engine is not usable, or a service does not start, exit with status 1 and one line
        on stderr.

        Timers and callbacks that the program has scheduled on `tornado.ioloop.IOLoop.current` run
        in that loop, too.

        Outside of the main thread, only `stop` ends it, not a signal. An error that would end the
        process in the main thread is raised (`OSError`, `EngineError`, `StartError`).

        Logs to stderr, unless logging is set up already. Each record is one line, and the lines of
        a traceback follow, indented. Control characters, which may be a client's, are escaped in
        that log; in a log that you set up yourself, only in Tornado's records.

        With TATSUMAKI_DEBUG=1 in the environment, the logger ``tatsumaki`` has level DEBUG. The
        answers to clients do not change.
        """
        self._check(app)
        if asyncio._get_running_loop() is not None:
            raise RuntimeError("an event loop runs here already: use await server.serve(app)")
        log_to_stderr()
        try:
            self._addresses.bind()
            # A second signal also ends a program whose threads delay the end of the loop.
            with signals.kept(), asyncio.Runner(loop_factory=current_loop) as runner:
                self._run(runner.get_loop(), app)
        except (ListenError, EngineError, StartError) as error:
            _log.debug("why", exc_info=error)
            if threading.current_thread() is not threading.main_thread():
                # sys.exit would end the thread silently.
                raise
            sys.exit(escape_controls(str(error)))
        finally:
            self._addresses.close()
            # The loop is closed: another server of this process needs a new one.
            asyncio.set_event_loop(None)

    def _run(self, loop: asyncio.AbstractEventLoop, app: tornado.web.Application) -> None:
        serving = loop.create_task(self._serve_alone(app))
        try:
            loop.run_until_complete(serving)
        except (SystemExit, KeyboardInterrupt):
            # A callback or a task raised it, between others. The loop may raise it again.
            if self._loop is None:
                # It has not begun.
                serving.cancel()
            self.stop()
            while not serving.done():
                with contextlib.suppress(SystemExit, KeyboardInterrupt, asyncio.CancelledError):
                    loop.run_until_complete(serving)
            if not serving.cancelled():
                serving.exception()
            raise

    async def _serve_alone(self, app: tornado.web.Application) -> None:
        """Serve `app` in a loop that ends with the server."""
        try:
            await self.serve(app)
        finally:
            # asyncio would wait without a limit.
            await end_all_tasks()

    async def serve(self, app: tornado.web.Application) -> None:
        """Serve `app` in the running loop until a signal or `stop`. `run` does this, and sets up
        the log.

        Cancelling it also stops the server cleanly.

        Raises `OSError` if an address cannot be used, `EngineError` if the engine cannot,
        `StartError` if a service or an `Application.on_start` hook fails, `RuntimeError` if this
        server or `app` runs already.
        """
        self._check(app)
        server = StrictServer(app, **self.options)
        # From now on, not only from the first poll, a call from another thread raises.
        MessageQueue._registry.thread.claim()
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        life = app._life if isinstance(app, Application) else Life()
        try:
            self._addresses.bind()
            # An engine that cannot be used is an error now, and not of the first request.
            _ = MessageQueue._registry.engine
            with signals.handled(self.stop):
                if await self._start_services(life):
                    await self._listen(server, life)
        finally:
            self.listening.clear()
            self._addresses.close()
            self._loop = None

    def _check(self, app: object) -> None:
        refuse_while_loading()
        if not isinstance(app, HTTPServerConnectionDelegate):
            raise TypeError(f"Server.run takes an Application(...), not {app!r}")
        if self._loop is not None:
            raise RuntimeError("this server runs already: each application needs its own Server")

    def stop(self) -> None:
        """Stop as after a signal. Any thread may call it; it returns at once. While the server does
        not run, this does nothing.
        """
        loop = self._loop
        if loop is not None:
            # In another thread the server may just have ended.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._stopping.set)

    async def _start_services(self, life: Life) -> bool:
        """Start the services. False if the server is stopped before they have started."""
        start = asyncio.ensure_future(life.start())
        stopped = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait([start, stopped], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            if not start.done():
                start.cancel()
                await asyncio.wait([start])
        if start.cancelled():
            return False
        start.result()
        return True

    async def _listen(self, server: StrictServer, life: Life) -> None:
        try:
            sockets = self._addresses.listen()
        except ListenError:
            await life.stop()
            raise
        server.add_sockets(sockets)
        drain = Drain(server, life, self._limits)
        watchdog = asyncio.ensure_future(systemd.keep_alive())
        try:
            for url in self._addresses.urls("https" if self.options.get("ssl_options") else "http"):
                _say(f"Listening on {url} (Ctrl-C stops)")
            systemd.notify("READY=1")
            self.listening.set()
            await self._stopping.wait()
        finally:
            # Also if this is cancelled, as it is when a callback raises SystemExit.
            systemd.notify("STOPPING=1")
            await drain.run()
            watchdog.cancel()


def _say(line: str) -> None:
    try:
        print(escape_controls(line), flush=True)
    except (OSError, ValueError) as error:
        # Its reader is gone, its disk is full, or its encoding lacks these letters.
        _log.warning("stdout cannot be written (%s): %s", error, line)

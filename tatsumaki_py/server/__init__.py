"""Server: run an application until a signal or `stop`.

    Server(port=5000).run(app)

Source: ``Tatsumaki::Server``, ``plackup``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import sys
import threading
from collections.abc import Iterable
from functools import partial
from typing import Any

import tornado.web
from tornado.httputil import HTTPServerConnectionDelegate

from tatsumaki_py.application import Application
from tatsumaki_py.control_characters import escape_controls
from tatsumaki_py.life import Life, StartError, current_loop, end_all_tasks
from tatsumaki_py.logger import log_to_stderr
from tatsumaki_py.message_queue import EngineError, MessageQueue
from tatsumaki_py.program import refuse_while_loading
from tatsumaki_py.server import signals
from tatsumaki_py.server.addresses import Addresses, ListenError
from tatsumaki_py.server.announcing import Announcer, Announcing
from tatsumaki_py.server.choose import new_server
from tatsumaki_py.server.collector import fewer_collections
from tatsumaki_py.server.drain import Drain, Limits, close_engine
from tatsumaki_py.server.forking import ProcessesError, check_fork, process_count
from tatsumaki_py.server.http_server import LIMITS, ListeningServer
from tatsumaki_py.server.processes import Processes
from tatsumaki_py.server.worker import Worker

__all__ = ["Server"]

_log = logging.getLogger("tatsumaki")

_FAILURES = ListenError, EngineError, StartError, ProcessesError
"""Errors that end the process. Their text is the one line on stderr."""


class Server:
    """Serves until SIGINT (Ctrl-C), SIGTERM or `stop`.

    Args:
        host: a name or an address to listen on, or several. Default: TATSUMAKI_HOST in the
            environment, else 127.0.0.1, which the network cannot reach.
        port: the port of all hosts; 0 for any free port. Default: TATSUMAKI_PORT in the
            environment, else PORT, else 5000 (plackup's).
        unix: the path of a Unix socket. Without `host` and `port`, it is the only address. The file
            is removed at the end. A socket that an earlier process left behind is replaced.
        mode: the permissions of that file. Default: 0o660, its owner and group.
        reuse_port: whether other processes may listen on the same port; the kernel gives each
            connection to one of them. Default: False.
        grace: seconds that requests in flight and slow readers have when the server stops. Default:
            10.
        drain_delay: seconds, at the beginning of a stop, during which `HealthHandler` answers 503
            while the server still accepts requests, for load balancers. Default: 0.
        drain_time: maximum seconds over which the clients of streams and long polls reconnect. The
            server sends them delays that are one millisecond apart, or less. Default: 30.
        processes: the number of worker processes of `run`; 0 for one per core. With more than one,
            they must share an engine, such as Redis. Services and hooks run in each worker, and
            ``TATSUMAKI_WORKER`` in its environment is its number, counted from 1. Default:
            TATSUMAKI_PROCESSES in the environment, else 1: this process.
        options: the options of `tornado.httpserver.HTTPServer`, such as ``xheaders`` or
            ``ssl_options``. These have stricter defaults than Tornado's: ``max_header_size``
            (32 KiB), ``max_body_size`` (16 MiB), ``body_timeout`` (60 seconds) and
            ``idle_connection_timeout`` (120 seconds).

    If systemd opened sockets for this process (socket activation), they replace all these
    addresses.

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
        processes: int | None = None,
        **options: Any,
    ) -> None:
        if processes is not None:
            process_count(processes)
        self._addresses = Addresses(host, port, unix, mode, reuse_port)
        self._limits = Limits(grace, drain_delay, drain_time)
        self.options = LIMITS | options
        self.listening = threading.Event()
        """Set when clients can connect, and cleared when the server has stopped. A thread can wait
        for it.
        """
        self._loop: asyncio.AbstractEventLoop | None = None
        self._processes = processes
        self._announcing: Announcing = Announcer()
        """The recipient of this process's reports; in a worker process, its parent."""
        self._parent: Processes | None = None
        """The worker processes, in the process that started them."""

    @property
    def port(self) -> int | None:
        """The port that the server listens on, or will listen on. None without a TCP port."""
        return self._addresses.port

    def run(self, app: tornado.web.Application) -> None:
        """Serve `app`, and print each address on stdout, one line each. If an address cannot be
        used, the engine is not usable, or a service does not start, exit with status 1 and one line
        on stderr.

        With several `processes`, this process starts and watches the workers, and replaces a worker
        that ends. `run` returns only in this process, when all workers have stopped.

        The server runs in the loop of `tornado.ioloop.IOLoop.current`, so timers and callbacks that
        the program has scheduled there run, too.

        In a thread other than the main thread, signals do not end `run`; only `stop` does. Errors
        that end the process in the main thread are raised in other threads (`OSError`,
        `EngineError`, `StartError`, `RuntimeError`).

        Logs to stderr, unless logging is set up already. Each record is one line, and the lines of
        a traceback follow, indented. Control characters, which a client may have sent, are escaped
        in that log; in a log that you set up yourself, only in Tornado's records.

        With TATSUMAKI_DEBUG=1 in the environment, the logger ``tatsumaki`` has level DEBUG. The
        answers to clients do not change.
        """
        self._check(app)
        if asyncio._get_running_loop() is not None:
            raise RuntimeError("an event loop is already running: use await server.serve(app)")
        log_to_stderr()
        try:
            count = process_count(self._processes)
            if count == 1:
                self._run_alone(app)
            else:
                self._run_processes(count, app)
        except _FAILURES as error:
            _log.debug("why", exc_info=error)
            if threading.current_thread() is not threading.main_thread():
                # sys.exit would end the thread silently.
                raise
            sys.exit(escape_controls(str(error)))

    def _run_processes(self, count: int, app: tornado.web.Application) -> None:
        # Report a wrong option here, not in each worker.
        new_server(app, **self.options)
        check_fork(count, app)
        self._addresses.bind()
        try:
            self._parent = Processes(
                count,
                partial(self._work, app),
                self._urls(),
                self._addresses.close,
                self._limits.drain_delay,
            )
            self._parent.run()
        finally:
            self._parent = None
            self._addresses.close()

    def _work(self, app: tornado.web.Application, worker: Worker) -> int:
        """Serve in a worker process until it stops. Returns the exit status."""
        self._announcing, self._parent = worker, None
        try:
            self._run_alone(app)
        except _FAILURES as error:
            _log.debug("why", exc_info=error)
            worker.failed(error)
            return 1
        return 0

    def _run_alone(self, app: tornado.web.Application) -> None:
        """Serve in this process."""
        try:
            self._addresses.bind()
            # A second signal also ends a program whose threads delay the end of the loop.
            with (
                fewer_collections(),
                signals.kept(),
                asyncio.Runner(loop_factory=current_loop) as runner,
            ):
                self._run(runner.get_loop(), app)
        finally:
            self._addresses.close()
            # The loop is closed: another server of this process needs a new one.
            asyncio.set_event_loop(None)

    def _run(self, loop: asyncio.AbstractEventLoop, app: tornado.web.Application) -> None:
        serving = loop.create_task(self._serve_alone(app))
        try:
            loop.run_until_complete(serving)
        except (SystemExit, KeyboardInterrupt):
            # A callback or a task raised it, and the loop may raise it again.
            if self._loop is None:
                # `serve` has not begun.
                serving.cancel()
            self._stop_here()
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
            # asyncio would wait for them without a limit.
            await end_all_tasks()

    async def serve(self, app: tornado.web.Application) -> None:
        """Serve `app` in the running loop until a signal or `stop`. `run` does this, and sets up
        the log; only `run` starts several processes.

        Cancelling `serve` also stops the server cleanly.

        Raises `OSError` if an address cannot be used, `EngineError` if the engine cannot,
        `StartError` if a service or an `Application.on_start` hook fails, `RuntimeError` if this
        server or `app` is already running.
        """
        self._check(app)
        if isinstance(self._announcing, Announcer) and process_count(self._processes) != 1:
            raise RuntimeError("server.serve uses one process: use server.run(app) for more")
        server = new_server(app, **self.options)
        # From now on, calls from other threads raise; do not wait for the first poll.
        MessageQueue._registry.thread.claim()
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        life = app._life if isinstance(app, Application) else Life()
        try:
            self._addresses.bind()
            # Report an unusable engine now, not at the first request.
            MessageQueue._registry.processes.begin()
            with signals.handled(self._stop_here), self._announcing.watch():
                await self._serve(server, life)
        finally:
            self.listening.clear()
            self._addresses.close()
            self._loop = None

    def _check(self, app: object) -> None:
        refuse_while_loading()
        if not isinstance(app, HTTPServerConnectionDelegate):
            raise TypeError(f"Server.run takes an Application(...), not {app!r}")
        if self._loop is not None:
            raise RuntimeError(
                "this server is already running: each application needs its own Server"
            )

    def stop(self) -> None:
        """Stop all processes, as after a signal. Any thread may call this; it returns
        immediately. Does nothing if the server is not running.
        """
        if self._parent is not None:
            self._parent.stop()
        elif not (self._loop is not None and self._announcing.stop()):
            self._stop_here()

    def _stop_here(self) -> None:
        """Stop this process."""
        loop = self._loop
        if loop is not None:
            # In another thread the server may just have ended.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._stopping.set)

    async def _serve(self, server: ListeningServer, life: Life) -> None:
        drain: Drain | None = None
        try:
            if await self._start_services(life):
                sockets = await self._bound_sockets(life)
                sockets = self._announcing.sockets(sockets, server.load)
                server.add_sockets(sockets)
                drain = Drain(server, life, self._limits)
                await self._listen(drain)
        finally:
            if drain is None:
                # A service may have used the engine already.
                await close_engine()

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

    async def _bound_sockets(self, life: Life) -> list[socket.socket]:
        """Listen, and return the sockets."""
        try:
            return self._addresses.listen()
        except ListenError:
            await life.stop()
            raise

    def _urls(self) -> list[str]:
        return self._addresses.urls("https" if self.options.get("ssl_options") else "http")

    async def _listen(self, drain: Drain) -> None:
        """Serve until the server is stopped and drained."""
        watchdog = asyncio.ensure_future(self._announcing.keep_alive())
        try:
            self._announcing.listening(self._urls())
            self.listening.set()
            await self._stopping.wait()
        finally:
            # Even after a cancellation, for example when a callback raises SystemExit.
            self._announcing.stopping()
            await drain.run()
            watchdog.cancel()

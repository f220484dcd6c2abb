"""A real Redis that a test may kill, pause and restart."""

from __future__ import annotations

import atexit
import contextlib
import errno
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["RedisServer"]

START = 5.0
"""Seconds within which a server must answer after its start."""
DEFAULTS = {"bind": "127.0.0.1", "save": "", "appendonly": "no", "daemonize": "no"}

_running: set[RedisServer] = set()


@atexit.register
def _end_all() -> None:
    for server in [*_running]:
        server.kill()


class RedisServer:
    """One ``redis-server``, in a temporary folder. The server starts empty, and loses all data when
    it is killed, unless an option says otherwise::

        with RedisServer(appendonly="yes", appendfsync="always") as server:
            MessageQueue.configure(server.url)
            ...
            server.kill()
            server.start()

    Args:
        folder: the folder for the server's files; by default, a temporary one, which `stop`
            deletes.
        port: the port on which the server listens; by default, any free port. A restart
            keeps the port.
        options: lines of the configuration; "_" in a name stands for "-".

    Raises:
        unittest.SkipTest: there is no ``redis-server`` on this machine. unittest and pytest skip
            the test, and show the reason.
    """

    program = "redis-server"
    package = "redis-server"
    """The Debian package that has the program."""

    def __init__(
        self, folder: Path | str | None = None, port: int | None = None, **options: object
    ) -> None:
        self._path = self.find()
        self.port = port or _free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        """The URL of the server, for `MessageQueue.configure`."""
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        if folder is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="tatsumaki-redis-")
            folder = self._temporary.name
        self.folder = Path(folder) / f"{self.program}-{self.port}"
        """The folder of the server's files, such as ``log``."""
        self.folder.mkdir()
        self._config = self.folder / "redis.conf"
        lines = self.settings() | options
        pairs = [(key.replace("_", "-"), _quoted(value)) for key, value in lines.items()]
        self._config.write_text("".join(f"{key} {value}\n" for key, value in pairs))
        self._process: subprocess.Popen[bytes] | None = None
        self.environment = dict(os.environ)
        """The environment variables of the process."""

    @classmethod
    def find(cls) -> str:
        """The path of the program. Raises `unittest.SkipTest` if it is not installed."""
        path = shutil.which(cls.program) or shutil.which(
            cls.program, path="/usr/sbin:/usr/local/sbin"
        )
        if path is None:
            raise unittest.SkipTest(
                f"{cls.program} is not installed (Debian: apt install {cls.package})"
            )
        return path

    def settings(self) -> dict[str, object]:
        """The configuration lines that every server has."""
        return DEFAULTS | {"port": self.port, "dir": self.folder}

    def start(self) -> Self:
        """Start the server, and wait until it answers.

        Raises:
            RuntimeError: the port is taken, or the server does not answer within 5 seconds. The
                message contains the server's log.
        """
        if _taken(self.port):
            raise RuntimeError(f"{self.program} cannot start: port {self.port} is taken")
        _running.add(self)
        with (self.folder / "log").open("a") as log:
            self._process = subprocess.Popen(
                [self._path, str(self._config)],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                text = (self.folder / "log").read_text()
                raise RuntimeError(f"{self.program} did not start:\n{text}")
            time.sleep(0.01)
        return self

    def answers(self) -> bool:
        """Whether the server answers PING."""
        with contextlib.suppress(OSError):
            return self.ask("PING") == "+PONG"
        return False

    def ask(self, *words: object) -> str:
        """The answer to a command, as Redis sends it: ``server.ask("PING") == "+PONG"``."""
        try:
            return self._ask(words)
        except ConnectionResetError:
            # Try again: Sentinel disconnects the clients of a server that it turns into a replica.
            return self._ask(words)

    def _ask(self, words: tuple[object, ...]) -> str:
        with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
            parts = [str(word).encode() for word in words]
            command = b"*%d\r\n" % len(parts)
            command += b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)
            connection.sendall(command + b"*1\r\n$4\r\nQUIT\r\n")
            reply = b""
            while chunk := connection.recv(65536):
                reply += chunk
        return reply.decode().removesuffix("+OK\r\n").removesuffix("\r\n")

    def kill(self, signum: int = signal.SIGKILL) -> None:
        """Kill the server, as in a crash. `start` restarts it on the same port."""
        _running.discard(self)
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(signum)
            self._process.wait()

    def pause(self) -> None:
        """Suspend the process: connections stay open, and nothing is answered."""
        assert self._process is not None, "the server is not running"
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Continue after `pause`."""
        assert self._process is not None, "the server is not running"
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End the server, and delete its temporary folder."""
        self.kill()
        if self._temporary is not None:
            self._temporary.cleanup()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _taken(port: int) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
        return False


def _quoted(value: object) -> object:
    return '""' if value == "" else value

"""A real Redis of the tests: one for all tests of a process, and others that a test may stop."""

import atexit
import contextlib
import glob
import os
import signal
import socket
import subprocess
import time

import pytest
from support.outside import find_program
from support.program import free_port

START = 5.0  # seconds until it must answer
DEFAULTS = {"bind": "127.0.0.1", "save": "", "appendonly": "no", "daemonize": "no"}


_running = set()


@atexit.register
def _end_all():
    """Those that no fixture ends: of several together, one did not start."""
    for server in [*_running]:
        server.kill()


class RedisServer:
    """One redis-server, in a folder of its own.

    Args:
        folder: for its files.
        port: where it listens; any free one by default.
        program: "redis-server" or "redis-sentinel".
        own_clock: whether `shift_clock` can set its clock.
        options: lines of its configuration; "_" in a name stands for "-".
    """

    def __init__(self, folder, port=None, program="redis-server", own_clock=False, **options):
        self.port = port or free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._path = find_program(program, program)
        self.folder = folder / f"{program}-{self.port}"
        self.folder.mkdir()
        self._config = self.folder / "redis.conf"
        lines = DEFAULTS | {"port": self.port, "dir": self.folder} | options
        if program == "redis-sentinel":
            lines = {"bind": "127.0.0.1", "port": self.port, "dir": self.folder} | options
        pairs = [(key.replace("_", "-"), _quoted(value)) for key, value in lines.items()]
        self._config.write_text("".join(f"{key} {value}\n" for key, value in pairs))
        self._process = None
        self._environment = dict(os.environ)
        if own_clock:
            self._environment |= {
                "LD_PRELOAD": _faketime(),
                "FAKETIME_TIMESTAMP_FILE": str(self.folder / "clock"),
                "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }
            self.shift_clock(0)

    def start(self):
        """Starts it, and waits until it answers."""
        _running.add(self)
        with (self.folder / "log").open("a") as log:
            self._process = subprocess.Popen(
                [self._path, str(self._config)],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"redis does not run:\n{(self.folder / 'log').read_text()}")
            time.sleep(0.01)
        return self

    def answers(self):
        """Whether it answers PING."""
        with contextlib.suppress(OSError):
            return self.ask("PING") == "+PONG"
        return False

    def ask(self, *words):
        """The answer to a command: its first line for a simple one, else the whole reply."""
        try:
            return self._ask(words)
        except ConnectionResetError:
            # Sentinel disconnects all clients of a server that it makes a replica.
            return self._ask(words)

    def _ask(self, words):
        with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
            parts = [str(word).encode() for word in words]
            command = b"*%d\r\n" % len(parts)
            command += b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)
            connection.sendall(command + b"*1\r\n$4\r\nQUIT\r\n")
            reply = b""
            while chunk := connection.recv(65536):
                reply += chunk
        return reply.decode().removesuffix("+OK\r\n").removesuffix("\r\n")

    def calls(self):
        """The number of calls of each command so far, by `INFO commandstats`."""
        lines = self.ask("INFO", "commandstats").splitlines()
        stats = [line.partition(":") for line in lines if line.startswith("cmdstat_")]
        return {
            name.removeprefix("cmdstat_"): int(rest.partition("calls=")[2].partition(",")[0])
            for name, _, rest in stats
        }

    def shift_clock(self, seconds):
        """Its clock is so much ahead of the real one, or behind."""
        whole = self.folder / "clock.new"
        whole.write_text(f"{seconds:+d}\n")
        whole.replace(self.folder / "clock")

    def kill(self, signum=signal.SIGKILL):
        """Ends it, as a crash does."""
        _running.discard(self)
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(signum)
            self._process.wait()

    def pause(self):
        """Stops it with SIGSTOP: connections stay open, and nothing is answered."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def resume(self):
        """Lets it go on."""
        os.kill(self._process.pid, signal.SIGCONT)


def _faketime():
    """What to preload to change the time of a program."""
    find_program("faketime", "faketime")
    # With the malloc of libc: that of Redis asks for the time before the library can tell it.
    return glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")[0] + ":libc.so.6"


def _quoted(value):
    return '""' if value == "" else value


@pytest.fixture(scope="session")
def _shared_redis(tmp_path_factory):
    server = RedisServer(tmp_path_factory.mktemp("redis")).start()
    yield server
    server.kill()


@pytest.fixture
def redis_server(_shared_redis):
    """An empty Redis that a test does not stop."""
    _shared_redis.ask("FLUSHALL")
    _shared_redis.ask("CONFIG", "RESETSTAT")
    return _shared_redis


@pytest.fixture
def make_redis(tmp_path):
    """`server = make_redis(appendonly="yes")` starts a Redis that the test may kill or pause."""
    servers = []

    def make(**options):
        server = RedisServer(tmp_path, **options)
        servers.append(server)
        return server.start()

    yield make
    for server in servers:
        server.kill()

"""Programs of the project, run as a user runs them: as processes, stopped by signals."""

import contextlib
import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
START = 15.0  # seconds until it must have said where it listens
STOP = 5.0  # seconds until it must be gone


class Program:
    """A program that serves HTTP on `port` (read from PORT) and says so on stdout.

    `url` is "http://127.0.0.1:<port>/". What it prints goes to files: no pipe can fill up.
    """

    def __init__(self, path, port, log_dir, environment=()):
        self.port = port
        self.url = f"http://127.0.0.1:{port}/"
        self._command = [sys.executable, str(ROOT / path)]
        self._environment = {"TATSUMAKI_HOST": "127.0.0.1", "PORT": str(port), **dict(environment)}
        self._stdout = log_dir / f"{port}.out"
        self._stderr = log_dir / f"{port}.err"
        self._process = None

    @property
    def stdout(self):
        """What it printed so far."""
        return self._stdout.read_text()

    @property
    def stderr(self):
        """What it logged so far."""
        return self._stderr.read_text()

    @property
    def pid(self):
        """Its process id."""
        return self._process.pid

    def start(self):
        """Starts it and waits until it listens. On a second call it gets the same port."""
        self.launch()
        self.listening()

    def launch(self):
        """Starts it; `listening` waits."""
        self._before = self._stdout.exists() and self.stdout.count(self.url)
        with self._stdout.open("a") as stdout, self._stderr.open("a") as stderr:
            self._process = subprocess.Popen(
                self._command,
                cwd=ROOT,
                env={**os.environ, **self._environment},
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
            )

    def listening(self):
        """Waits until it listens."""
        deadline = time.monotonic() + START
        while self.stdout.count(self.url) == self._before:
            if not self.runs or time.monotonic() > deadline:
                status = self.kill()
                pytest.fail(
                    f"{self._command[1]} did not print {self.url} (status {status}):\n{self.stderr}"
                )
            time.sleep(0.02)

    @property
    def runs(self):
        """Whether its process is there."""
        return self._process is not None and self._process.poll() is None

    def stop(self, signum=signal.SIGTERM):
        """Stops it with a signal and returns its exit status; fails if it stays."""
        self.signal(signum)
        return self.wait()

    def signal(self, signum=signal.SIGTERM):
        """Sends it a signal."""
        self._process.send_signal(signum)

    def wait(self):
        """Its exit status; fails if it stays."""
        try:
            return self._process.wait(STOP)
        except subprocess.TimeoutExpired:
            self.kill()
            pytest.fail(f"{self._command[1]} was still there {STOP} s later:\n{self.stderr}")

    def kill(self):
        """Ends it without a chance to say goodbye; returns its exit status."""
        self._process.kill()
        return self._process.wait()

    def restart(self):
        """Stops it and starts it again on the same port."""
        self.stop()
        self.start()


@contextlib.contextmanager
def all_running(programs):
    """Starts these `Program`s, stops them at the end, and looks for tracebacks in their logs."""
    for program in programs:
        program.start()
    yield programs
    for program in programs:
        program.stop()
        assert "Traceback" not in program.stderr, program.stderr


def received(client, mark=None):
    """The data that comes over a socket until `mark`, or until the end."""
    data = b""
    while mark is None or mark not in data:
        chunk = client.recv(65536)
        if not chunk:
            break
        data += chunk
    return data


def free_port():
    """A port of 127.0.0.1 that is free just now, and that was not given out before.

    A test keeps its port while its program is stopped, and its clients try to reach the program. So
    each process of the tests has ports of its own, and the kernel gives none of them to a client.
    """
    while True:
        port = next(_ports)
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port


def _own_ports():
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
    first = 12_000 + 2_500 * (worker % 8)
    ports = [*range(first, first + 2_500)]
    # Another run of the tests may use them, too.
    random.shuffle(ports)
    return itertools.cycle(ports)


_ports = _own_ports()


@pytest.fixture
def popen(tmp_path):
    """`popen(*command, environment={}, **options)` starts a command, as `subprocess.Popen` does.

    Its stdout is a pipe of text, its stderr the file `log` of `tmp_path`. It is killed at the end.
    """
    processes = []

    def start(*command, environment=(), **options):
        with (tmp_path / "log").open("w") as stderr:
            process = subprocess.Popen(
                [*map(str, command)],
                env={**os.environ, "PYTHONPATH": str(ROOT), **dict(environment)},
                **{"stdout": subprocess.PIPE, "stderr": stderr, "text": True} | options,
            )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def serve_program(tmp_path):
    """`program = serve_program("examples/chat/app.py")` starts a `Program` on a free port;
    `environment` has more variables for it.

    After the test it is stopped, and fails the test if there is a traceback in what it logged;
    ``traces=True`` allows that.
    """
    yield from _serving(tmp_path)


@pytest.fixture(scope="module")
def serve_programs(tmp_path_factory):
    """The same for all the tests of a file."""
    yield from _serving(tmp_path_factory.mktemp("programs"))


def _serving(directory):
    programs, traced = [], []

    def serve(path, traces=False, environment=()):
        program = Program(path, free_port(), directory, environment)
        programs.append(program)
        if traces:
            traced.append(program)
        program.start()
        return program

    yield serve
    try:
        for program in programs:
            program.stop()
    finally:
        for program in programs:
            program.kill()
    for program in programs:
        assert program in traced or "Traceback" not in program.stderr, program.stderr

"""Runs programs of the project as a user does: as processes that are stopped with signals."""

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
START = 15.0  # seconds within which a program must say where it listens
STOP = 5.0  # seconds within which a program must exit


class Program:
    """A program that serves HTTP on `port` (read from PORT) and says so on stdout.

    `url` is "http://127.0.0.1:<port>/". The output goes to files, as a pipe could fill up.
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
        """What the program has printed so far."""
        return self._stdout.read_text()

    @property
    def stderr(self):
        """What the program has logged so far."""
        return self._stderr.read_text()

    @property
    def pid(self):
        """The process id."""
        return self._process.pid

    def start(self):
        """Starts the program, again on the same port, and waits until it is listening."""
        self.launch()
        self.listening()

    def launch(self):
        """Starts the program without waiting; `listening` waits."""
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
        """Waits until the program is listening."""
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
        """Whether the process is running."""
        return self._process is not None and self._process.poll() is None

    def stop(self, signum=signal.SIGTERM):
        """Stops the program with a signal; returns its exit status; fails if it keeps running."""
        self.signal(signum)
        return self.wait()

    def signal(self, signum=signal.SIGTERM):
        """Sends a signal to the program."""
        self._process.send_signal(signum)

    def wait(self):
        """Waits for the exit, and returns the exit status; fails if the program keeps running."""
        try:
            return self._process.wait(STOP)
        except subprocess.TimeoutExpired:
            self.kill()
            pytest.fail(f"{self._command[1]} was still running {STOP} s later:\n{self.stderr}")

    def kill(self):
        """Kills the program, which cannot clean up, and returns its exit status."""
        self._process.kill()
        return self._process.wait()

    def restart(self):
        """Stops the program, and starts it again on the same port."""
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
    """The data that arrives at a socket up to `mark`, or up to the end."""
    data = b""
    while mark is None or mark not in data:
        chunk = client.recv(65536)
        if not chunk:
            break
        data += chunk
    return data


def free_port():
    """A port of 127.0.0.1 that is free at the moment, and that was not returned recently.

    A test uses the same port while its program is stopped and clients try to reach the program. So
    each process of the tests has its own ports, of which the kernel gives none to a client.
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
    # Another run of the tests may use the same ports.
    random.shuffle(ports)
    return itertools.cycle(ports)


_ports = _own_ports()


@pytest.fixture
def popen(tmp_path):
    """`popen(*command, environment={}, **options)` starts a command, as `subprocess.Popen` does.

    Its stdout is a text pipe, and its stderr goes to the file `log` in `tmp_path`. The process is
    killed at the end.
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
    """`program = serve_program("examples/chat/app.py")` starts a `Program` on a free port.

    The program is stopped after the test. A traceback in its log fails the test, unless the test
    passes ``traces=True``. `environment` contains additional environment variables.
    """
    yield from _serving(tmp_path)


@pytest.fixture(scope="module")
def serve_programs(tmp_path_factory):
    """Does the same as `serve_program`, but stops the programs after the last test of the file."""
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

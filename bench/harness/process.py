"""Starts server processes and the load generator on their cores, and ends them afterwards."""

import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from harness.contenders import Contender
from harness.machine import CORES, GENERATOR_CORE, SERVER_CORE

BENCH = Path(__file__).resolve().parents[1]
START_TIME = 10.0
PR_SET_PDEATHSIG = 1
PROCESS_CLOCK = 2  # clock_getcpuclockid(3) makes the clock of a process from this
SPIN = 20
"""Microseconds between two polls of the generator (see loadgen.c), if it has its own core."""

_libc = ctypes.CDLL(None)


class Trouble(Exception):
    """A contender or the generator failed. The text is one or a few lines for the user."""


def prepare(core: int) -> Callable[[], None]:
    """A function that binds a child process to its core, and lets it end with this process."""

    def run() -> None:
        os.sched_setaffinity(0, {core})
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

    return run


def environment(engine: str = "", http: str = "") -> dict[str, str]:
    """The environment of a server."""
    return {
        **os.environ,
        "PYTHONPATH": str(BENCH.parent),  # measure this checkout
        "TATSUMAKI_ENGINE": engine,
        "TATSUMAKI_HTTP": http,
    }


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return [process for child in map(int, text.split()) for process in _tree(child)]
    return []


def _tree(pid: int) -> list[int]:
    return [pid, *_children(pid)]


def cpu_of(pid: int) -> float:
    """Seconds that a process has used so far, with all its threads."""
    return time.clock_gettime(~pid << 3 | PROCESS_CLOCK)


class Server:
    """A running contender."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, errors: Path) -> None:
        self.port = port
        self._process = process
        self._errors = errors

    @property
    def pids(self) -> list[int]:
        return _tree(self._process.pid)

    def complaints(self) -> str:
        """The last lines that the server wrote to stderr."""
        return "\n".join(self._errors.read_text(errors="replace").splitlines()[-5:])

    def cpu(self) -> float:
        """Seconds used so far, by all threads."""
        return sum(map(cpu_of, self.pids))

    def memory(self) -> int:
        """Bytes of anonymous and shared memory of all processes, with shared pages counted once."""
        total = 0
        for pid in self.pids:
            for line in _read(pid, "smaps_rollup").splitlines():
                if line.startswith(("Pss_Anon:", "Pss_Shmem:")):
                    total += int(line.split()[1]) * 1024
        return total

    def settle(self, quiet: float = 0.5, timeout: float = 20.0) -> None:
        """Wait until the server is nearly idle."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            before = self.cpu()
            time.sleep(quiet)
            if self.cpu() - before < quiet * 0.02:
                return

    def wait(self) -> None:
        end = time.monotonic() + START_TIME
        while time.monotonic() < end:
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", self.port), START_TIME) as probe,
            ):
                probe.sendall(
                    b"GET / HTTP/1.0\r\n\r\n"
                )  # the port may accept connections before a worker runs
                if probe.recv(1):
                    return
            if self._process.poll() is not None:
                break
            time.sleep(0.02)
        raise Trouble(f"did not start: {self.complaints()}")


def _read(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def stop(process: subprocess.Popen[Any]) -> None:
    """Send SIGTERM to the whole group, then SIGKILL to the rest of it."""
    for number, patience in ((signal.SIGTERM, 3), (signal.SIGKILL, 5)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)
    if process.stdin:
        process.stdin.close()


@contextlib.contextmanager
def serving(contender: Contender) -> Iterator[Server]:
    """A new server of a contender, in a temporary folder."""
    port = free_port()
    file = BENCH / "servers" / contender.server
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        errors = Path(folder, "stderr")
        with errors.open("wb") as stderr:
            process = subprocess.Popen(
                [contender.program, str(file), str(port), *contender.arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                cwd=folder,
                env=environment(contender.engine, contender.http),
                start_new_session=True,
                preexec_fn=prepare(SERVER_CORE),
            )
        try:
            server = Server(process, port, errors)
            server.wait()
            yield server
        finally:
            stop(process)


def run_alone(
    file: str, *arguments: object, engine: str = "", timeout: float = 60
) -> dict[str, float]:
    """Run a program of servers/ that measures itself, on the servers' core and in a temporary
    folder. Returns its output.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        try:
            done = subprocess.run(
                [sys.executable, str(BENCH / "servers" / file), *map(str, arguments)],
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
                cwd=folder,
                env=environment(engine),
                preexec_fn=prepare(SERVER_CORE),
            )
        except subprocess.TimeoutExpired:
            raise Trouble(f"not done after {timeout} s") from None
    if done.returncode:
        raise Trouble(done.stderr.strip().rpartition("\n")[2])
    result: dict[str, float] = json.loads(done.stdout)
    return result


class Generator:
    """The load generator, compiled once per run."""

    def __init__(self, folder: Path) -> None:
        self._program = folder / "loadgen"
        compiler = os.environ.get("CC", "cc")
        source = str(BENCH / "loadgen.c")
        try:
            subprocess.run([compiler, "-O2", "-o", str(self._program), source], check=True)
        except OSError:
            sys.exit(f"{compiler}: no C compiler. On Debian: apt install gcc libc6-dev")
        except subprocess.CalledProcessError:
            sys.exit(f"{compiler} cannot compile {source}. On Debian: apt install libc6-dev")

    @contextlib.contextmanager
    def start(self, server: Server, **options: Any) -> Iterator[subprocess.Popen[str]]:
        """Start the generator. `options` are those of loadgen.c; a list repeats an option."""
        arguments = [f"port={server.port}", f"pids={','.join(map(str, server.pids))}"]
        if len(CORES) > 1:
            arguments.append(f"spin={SPIN}")
        for name, value in options.items():
            values = value if isinstance(value, (list, tuple)) else [value]
            arguments += [f"{name}={item}" for item in values]
        process = subprocess.Popen(
            [str(self._program), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=prepare(GENERATOR_CORE),
        )
        try:
            yield process
        finally:
            stop(process)

    def run(self, server: Server, deadline: float = 60, **options: Any) -> dict[str, float]:
        """Run the generator to its end. Raises `Trouble` if it gives up."""
        with self.start(server, deadline=deadline, **options) as process:
            try:
                output, errors = process.communicate(timeout=deadline + 10)
            except subprocess.TimeoutExpired:
                raise Trouble("the load generator hangs") from None
        if not output:
            raise Trouble(self._why(errors, server))
        result: dict[str, float] = json.loads(output)
        return result

    @contextlib.contextmanager
    def holding(self, server: Server, deadline: float = 120, **options: Any) -> Iterator[None]:
        """Connect, and stay connected inside the with block. Raises `Trouble` if that fails."""
        with self.start(server, mode="connect", hold=1, deadline=deadline, **options) as process:
            assert process.stdout
            assert process.stderr
            if process.stdout.readline():
                yield
                if process.poll() is None:
                    return
            raise Trouble(self._why(process.stderr.read(), server))

    @staticmethod
    def _why(errors: str, server: Server) -> str:
        return "\n".join(filter(None, (errors.strip(), server.complaints())))

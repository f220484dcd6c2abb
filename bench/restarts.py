"""How many requests does a restart lose, with SO_REUSEPORT and with one listening socket?

Again and again, a new process starts beside the old one and takes over from it. Meanwhile 8 clients
send requests without a pause: each on a new connection, or all on kept connections, the next
request as soon as the last one is answered. A request is lost if its connection is refused, or ends
before the answer does.
"""

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass

from harness.contenders import Contender
from harness.machine import GENERATOR_CORE, SERVER_CORE
from harness.process import BENCH, Trouble, environment, prepare
from harness.report import Benchmark, Result

CLIENTS = 8
ALONE = 0.1
"""Seconds between two restarts."""


@dataclass(frozen=True)
class Way(Contender):
    """How two processes listen on one port."""

    shared: bool = False
    arguments: tuple[str, ...] = ()


WAYS = (
    Way("SO_REUSEPORT, socket closed", "restarted.py", arguments=("plain",)),
    Way("SO_REUSEPORT, queue accepted first", "restarted.py"),
    Way("one socket", "restarted.py", shared=True),
)


class Deployment:
    """The processes of one method; only the newest keeps running."""

    def __init__(self, way: Way) -> None:
        self._way = way
        # This socket does not listen: it only reserves the port.
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._socket.bind(("127.0.0.1", 0))
        if way.shared:
            self._socket.listen(4096)
        self.port: int = self._socket.getsockname()[1]
        self._process: subprocess.Popen[str] | None = None

    def replace(self) -> None:
        """Start a process, and stop the one before it when the new one listens."""
        before, self._process = self._process, self._start()
        if before is not None:
            self._stop(before)

    def close(self) -> None:
        if self._process is not None:
            self._stop(self._process)
        self._socket.close()

    def _start(self) -> subprocess.Popen[str]:
        descriptor = self._socket.fileno()
        shared = ["--descriptor", str(descriptor)] if self._way.shared else []
        process = subprocess.Popen(
            [
                *(sys.executable, str(BENCH / "servers" / self._way.server), str(self.port)),
                *(*self._way.arguments, *shared),
            ],
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
            pass_fds=[descriptor] if shared else [],
            preexec_fn=prepare(SERVER_CORE),
        )
        assert process.stdout is not None
        if not process.stdout.readline():
            raise Trouble(f"a process ended with status {process.wait()}")
        return process

    @staticmethod
    def _stop(process: subprocess.Popen[str]) -> None:
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            raise Trouble("a process does not stop") from None


class Clients:
    """Threads that send requests until `stop`."""

    def __init__(self, port: int, kept: bool) -> None:
        self.answered = self.lost = 0
        self._port = port
        self._kept = kept
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        answered = lost = 0
        while not self._stopping.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
            try:
                goes_on = True
                while goes_on:
                    connection.request("POST", "/")
                    answer = connection.getresponse()
                    answer.read()
                    answered += 1
                    ends = answer.will_close or self._stopping.is_set()
                    goes_on = self._kept and not ends
            except (OSError, http.client.HTTPException):
                lost += 1
            finally:
                connection.close()
        with self._lock:
            self.answered += answered
            self.lost += lost


def measure(way: Contender, restarts: int, kept: bool) -> Result:
    assert isinstance(way, Way)
    deployment = Deployment(way)
    try:
        deployment.replace()
        clients = Clients(deployment.port, kept)
        try:
            for _ in range(restarts):
                time.sleep(ALONE)
                deployment.replace()
            time.sleep(ALONE)
        finally:
            clients.stop()
    finally:
        deployment.close()
    return {"answered": clients.answered, "lost": clients.lost}


if __name__ == "__main__":
    bench = Benchmark(__doc__)
    restarts = 4 if bench.quick else 10
    os.sched_setaffinity(0, {GENERATOR_CORE})
    for title, kept in (
        ("a connection for each request", False),
        ("connections that are kept", True),
    ):
        totals: dict[str, Counter[str]] = {}

        def add(
            way: Contender, kept: bool = kept, totals: dict[str, Counter[str]] = totals
        ) -> Result:
            result = measure(way, restarts, kept)
            totals.setdefault(way.name, Counter()).update(result)
            return result

        bench.compare(title, WAYS, add)
        bench.table(
            f"{restarts} restarts, {title}",
            ("way", "answered", "lost"),
            [(name, f"{one['answered']:,}", f"{one['lost']:,}") for name, one in totals.items()],
            over="sum",
        )
    bench.end()

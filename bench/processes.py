"""What is the best way for several processes to listen on one port?

Four processes serve. Balance: 2000 clients connect one after the other, 1 ms apart, or all at once,
and stay; the table has the fewest and the most connections of a process (an even share is 500).
CPU: the CPU time that all processes together take for a request, with a new connection for each
request. Lost: requests whose connection is refused, or ends before the answer, while 8 clients send
requests without a pause and the processes are replaced one after the other.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.contenders import Contender
from harness.process import BENCH, PROCESS_CLOCK, Trouble, environment
from harness.report import Benchmark, Result
from restarts import Clients

CONNECTIONS = 2000
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@dataclass(frozen=True)
class Way(Contender):
    """How the processes listen."""

    argument: str = ""


WAYS = (
    Way("one socket, in turns (Server)", "worked.py", argument="turns"),
    Way("one socket", "worked.py", argument="shared"),
    Way("SO_REUSEPORT, kept by the parent", "worked.py", argument="kept"),
    Way("SO_REUSEPORT, of each process", "worked.py", argument="own"),
)


class Workers:
    """The processes of one method."""

    def __init__(self, way: Way) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        script = str(BENCH / "servers" / way.server)
        self._process = subprocess.Popen(
            [sys.executable, script, str(self.port), way.argument],
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        assert self._process.stdout is not None
        if not self._process.stdout.readline():
            raise Trouble(f"a process ended with status {self._process.wait()}")
        # The last process may not be listening yet.
        time.sleep(0.5)

    @property
    def pids(self) -> list[int]:
        pid = self._process.pid
        return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))

    def cpu(self) -> float:
        return sum(time.clock_gettime(~pid << 3 | PROCESS_CLOCK) for pid in self.pids)

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise Trouble("the processes do not stop") from None


@contextlib.contextmanager
def serving(way: Contender) -> Iterator[Workers]:
    assert isinstance(way, Way)
    workers = Workers(way)
    try:
        yield workers
    finally:
        workers.stop()


def balance(port: int, pause: float) -> Counter[bytes]:
    """How many connections each process gets. Without a pause, all connect before any request."""
    clients: list[socket.socket] = []
    answers: list[bytes] = []
    try:
        for _ in range(CONNECTIONS):
            client = socket.create_connection(("127.0.0.1", port), timeout=10)
            clients.append(client)
            if pause:
                client.sendall(REQUEST)
                answers.append(client.recv(4096))
                time.sleep(pause)
        if not pause:
            for client in clients:
                client.sendall(REQUEST)
            answers = [client.recv(4096) for client in clients]
    finally:
        for client in clients:
            client.close()
    return Counter(answer.rpartition(b"\r\n")[2] for answer in answers)


def measure_balance(way: Contender) -> Result:
    result: Result = {}
    with serving(way) as workers:
        for name, pause in (("apart", 0.001), ("at once", 0)):
            counts = balance(workers.port, pause).values()
            result[f"{name}, fewest"] = min(counts) if len(counts) == 4 else 0
            result[f"{name}, most"] = max(counts)
            time.sleep(0.5)
    return result


def measure_cpu(way: Contender, seconds: float) -> Result:
    with serving(way) as workers:
        before = workers.cpu()
        clients = Clients(workers.port, kept=False)
        time.sleep(seconds)
        clients.stop()
        return {"cpu": (workers.cpu() - before) / clients.answered * 1e6}


def measure_lost(way: Contender, replaced: int) -> Result:
    with serving(way) as workers:
        clients = Clients(workers.port, kept=False)
        for _ in range(replaced):
            time.sleep(0.5)
            os.kill(workers.pids[0], signal.SIGTERM)
        time.sleep(0.5)
        clients.stop()
    return {"answered": clients.answered, "lost": clients.lost}


if __name__ == "__main__":
    bench = Benchmark(__doc__, files=CONNECTIONS + 100)
    spread = bench.compare("balance", WAYS, measure_balance)
    columns = ("apart, fewest", "apart, most", "at once, fewest", "at once, most")
    bench.table(
        "connections of a process",
        ("way", *columns),
        [(name, *(f"{one[column]:.0f}" for column in columns)) for name, one in spread.items()],
    )
    seconds = 2.0 if bench.quick else 5.0
    costs = bench.compare("CPU", WAYS, lambda way: measure_cpu(way, seconds), lowest=["cpu"])
    bench.table(
        "CPU of a request",
        ("way", "microseconds"),
        [(name, f"{one['cpu']:.0f}") for name, one in costs.items()],
        over="lowest",
    )
    replaced = 8 if bench.quick else 20
    totals: dict[str, Counter[str]] = {}

    def add(way: Contender) -> Result:
        result = measure_lost(way, replaced)
        totals.setdefault(way.name, Counter()).update({k: int(v) for k, v in result.items()})
        return result

    bench.compare("replaced", WAYS, add)
    bench.table(
        f"{replaced} processes replaced",
        ("way", "answered", "lost"),
        [(name, f"{one['answered']:,}", f"{one['lost']:,}") for name, one in totals.items()],
        over="sum",
    )
    bench.end()

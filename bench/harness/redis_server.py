"""A separate Redis for a benchmark: empty, without files, on the core of the load generator."""

import contextlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

from harness.machine import CORES, SERVER_CORE
from harness.process import Trouble, cpu_of, free_port, prepare, stop

try:
    import redis
except ImportError:
    sys.exit("redis-py is missing: make bench-peers")

# The generator polls without sleeping, so Redis gets a separate core if there is one.
REDIS_CORE = CORES[1] if len(CORES) > 2 else CORES[-1]
assert len(CORES) == 1 or REDIS_CORE != SERVER_CORE


@dataclass(frozen=True)
class RedisServer:
    """A running redis-server."""

    pid: int
    port: int

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def cpu(self) -> float:
        """CPU seconds used so far."""
        return cpu_of(self.pid)

    def empty(self) -> None:
        """Drop all keys."""
        with redis.Redis(port=self.port) as client:
            client.flushall()

    def commands(self) -> int:
        """How many commands Redis has run, including those in scripts (INFO commandstats)."""
        with redis.Redis(port=self.port) as client:
            statistics = client.info("commandstats")
        return sum(entry["calls"] for name, entry in statistics.items() if name != "cmdstat_info")


@contextlib.contextmanager
def redis_server() -> Iterator[RedisServer]:
    if not shutil.which("redis-server"):
        sys.exit("redis-server is missing: make bench-peers")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        settings = {"bind": "127.0.0.1", "port": port, "dir": folder, "save": ""}
        arguments = [text for name, value in settings.items() for text in (f"--{name}", str(value))]
        process = subprocess.Popen(
            ["redis-server", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=prepare(REDIS_CORE),
        )
        try:
            _wait(process, port)
            yield RedisServer(process.pid, port)
        finally:
            stop(process)


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    retry = redis.retry.Retry(redis.backoff.ConstantBackoff(0.05), retries=100)
    with redis.Redis(port=port, retry=retry) as client:
        try:
            client.ping()
        except redis.ConnectionError:
            raise Trouble(f"redis-server does not start: {process.poll()}") from None

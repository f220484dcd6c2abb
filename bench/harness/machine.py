"""The machine of a benchmark: its description, the roles of its cores, and its other load."""

import os
import platform
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, GENERATOR_CORE = CORES[0], CORES[-1]
# Debian's folder of nginx, which is not in every PATH; and the folder of `make bench-peers` for
# Bun.
FOLDERS = ("/usr/sbin", *map(str, Path(sys.prefix, "peers/node_modules/@oven").glob("*/bin")))
os.environ["PATH"] = os.pathsep.join((os.environ["PATH"], *FOLDERS))
TICK = os.sysconf("SC_CLK_TCK")


def raise_file_limit(wanted: int) -> None:
    """Raises the soft limit, which child processes inherit. Exits if the hard limit is lower than
    `wanted`.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        sys.exit(f"{wanted} open files are needed, but only {hard} are allowed: raise `ulimit -Hn`")
    limit = 65536 if hard == resource.RLIM_INFINITY else hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def version(distribution: str) -> str:
    try:
        return f"{distribution} {metadata.version(distribution)}"
    except metadata.PackageNotFoundError:
        return ""


def _output(*command: str) -> str:
    if not shutil.which(command[0]):
        return ""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip() if done.returncode == 0 else ""


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


DISTRIBUTIONS = (
    "tatsumaki_py",
    "tornado",
    "redis",
    "aiohttp",
    "python-socketio",
    "sse-starlette",
    "starlette",
    "uvicorn",
    "uvloop",
    "httptools",
)


def describe() -> str:
    """Two lines: the machine, and the versions of all installed contenders."""
    machine = (
        f"{time.strftime('%Y-%m-%d')}, {_processor()}, {len(CORES)} cores, "
        f"Linux {platform.release()}, Python {platform.python_version()}"
    )
    versions = [
        *map(version, DISTRIBUTIONS),
        _output("nginx", "-v").rpartition(" ")[2],
        _output("redis-server", "--version").partition(" sha=")[0].replace(" server v=", " "),
        _output("bun", "--print", "`bun ${Bun.version}`"),
        _output("dpkg-query", "--show", "--showformat", "nchan ${Version}", "libnginx-mod-nchan"),
    ]
    return f"{machine}\n{', '.join(text for text in versions if text)}"


def _busy() -> float:
    """Seconds of CPU time that all cores together have spent since boot, stolen time included."""
    fields = Path("/proc/stat").read_text().split(maxsplit=9)[1:9]
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields)
    return (user + nice + system + irq + softirq + steal) / TICK


def _children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime + time.process_time()


class Others:
    """How much of the machine other processes have used."""

    def __init__(self) -> None:
        self.cpu = self.seconds = 0.0

    @contextmanager
    def watch(self) -> Iterator[None]:
        """The block must start and stop the server: a child counts only after it was waited for."""
        busy, ours, began = _busy(), _children_cpu(), time.monotonic()
        try:
            yield
        finally:
            self.seconds += time.monotonic() - began
            self.cpu += (_busy() - busy) - (_children_cpu() - ours)

    def share(self) -> float:
        """From 0 to 1, of all cores."""
        return max(0.0, self.cpu / (self.seconds * len(CORES))) if self.seconds else 0.0

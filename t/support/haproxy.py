"""A real haproxy in front of the application, configured as the recipe says."""

import contextlib
import re

import pytest
from support.outside import find_program
from support.program import free_port
from support.proxies import DEPLOY, PAGE, processes

LINES = (DEPLOY / "haproxy/haproxy.cfg").read_text()
MACHINES = re.findall(r"^```haproxy\n(.*?)^```", PAGE, re.M | re.S)[1]


@pytest.fixture
def run_haproxy(tmp_path, http_server):
    """`port = run_haproxy(lines)` runs haproxy with these lines, and kills it at the end.

    Args:
        retries: how many times haproxy tries again to connect, each time after a second.
        retry: the milliseconds that an EventSource waits before it reconnects.
        tls: additional words for the line `bind`.
    """
    with running(tmp_path) as run:
        yield run


@contextlib.contextmanager
def running(directory):
    """Gives `run_haproxy`, but needs no application server."""
    path = find_program("haproxy", "haproxy")

    def run(lines, retries=0, retry=3000, tls=""):
        port = free_port()
        assert lines.count("bind :80\n") == lines.count("mode http\n") == 1
        lines = lines.replace("bind :80\n", f"bind 127.0.0.1:{port} {tls}\n")
        lines = lines.replace("mode http\n", f"mode http\n    retries {retries}\n")
        answer = (DEPLOY / "haproxy/restarting.http").read_bytes()
        answer = answer.replace(b"Length: 12", b"Length: %d" % len(f"retry: {retry}\n"))
        (directory / "restarting.http").write_bytes(answer.replace(b"3000", b"%d" % retry))
        config = directory / f"{port}.cfg"
        config.write_text(lines.replace("/etc/haproxy", str(directory)))
        started.start([path, "-db", "-f", str(config)], port, directory / "haproxy.log")
        return port

    with processes() as started:
        yield run

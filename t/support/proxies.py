"""Real proxies in front of the application, with the configurations of the recipe."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from support.program import ROOT

DEPLOY = ROOT / "examples/recipes/deploy"
PAGE = (ROOT / "docs/recipes/behind-a-proxy.md").read_text()
START = 5.0  # seconds until a proxy must listen
FILES = {
    "nginx": "nginx/chat.conf",
    "haproxy": "haproxy/haproxy.cfg",
    "caddy": "caddy/Caddyfile",
    "apache": "apache/chat.conf",
}


@pytest.fixture
def run_recipe(request):
    """`port = run_recipe("caddy", 5000)` runs a proxy as the recipe says, in front of a port.

    Args:
        patient: whether the proxy tries to connect for as long as the recipe says.
        retry: the milliseconds that an EventSource waits before it reconnects.
    """

    def run(kind, port, patient=False, retry=3000):
        lines = (DEPLOY / FILES[kind]).read_text()
        assert "127.0.0.1:5000" in lines
        lines = lines.replace("5000", str(port)).replace("retry: 3000", f"retry: {retry}")
        options = {
            "nginx": {},
            "haproxy": {"retry": retry, "retries": 3 if patient else 0},
            "caddy": {"patience": "5s" if patient else "100ms"},
            "apache": {"retry": retry},
        }
        return request.getfixturevalue(f"run_{kind}")(lines, **options[kind])

    return run


def listens(port):
    """Whether a program accepts connections at `port`."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


class Processes:
    """Proxies that run in the foreground."""

    def __init__(self):
        self._processes = []

    def start(self, command, port, log, ready=None, environment=None):
        """Starts a proxy, and waits until it listens at `port`. Its output goes to the file `log`.

        Args:
            ready: a function that tells whether the proxy is ready; by default, whether it accepts
                connections.
        """
        ready = ready or (lambda: listens(port))
        with log.open("a") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
            )
        self._processes.append(process)
        deadline = time.monotonic() + START
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"{command[0]} is not running:\n{log.read_text()}")
            time.sleep(0.01)

    def kill(self):
        """Kills all proxies, as Caddy and Apache would wait for streams after a SIGTERM."""
        for process in self._processes:
            workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            # A parent must notice that its workers have ended.
            process.send_signal(signal.SIGTERM if workers else signal.SIGKILL)
            for worker in workers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(worker), signal.SIGKILL)
        for process in self._processes:
            process.wait()


@contextlib.contextmanager
def processes():
    """Gives a `Processes`, and kills its proxies at the end."""
    started = Processes()
    try:
        yield started
    finally:
        started.kill()

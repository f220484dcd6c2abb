"""A real Caddy in front of the application, configured as the recipe says."""

import contextlib
import os

import pytest
from support.outside import find_program
from support.program import free_port
from support.proxies import DEPLOY, processes

LINES = (DEPLOY / "caddy/Caddyfile").read_text()
# Without the administration port 2019, which all Caddies would share.
FRAME = "{\n\tadmin off\n}\n"


@pytest.fixture
def run_caddy(tmp_path, http_server):
    """`port = run_caddy(lines)` runs Caddy with these lines, and kills it at the end.

    Args:
        patience: how long Caddy tries to connect, in its own syntax, such as "100ms".
    """
    with running(tmp_path) as run:
        yield run


@contextlib.contextmanager
def running(directory):
    """Gives `run_caddy`, but needs no application server."""
    path = find_program("caddy", "caddy")
    # Caddy keeps certificates and a copy of its configuration there.
    places = dict.fromkeys(["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"], str(directory))

    def run(lines, patience="100ms"):
        port = free_port()
        assert lines.count("lb_try_duration 5s\n") == 1
        lines = lines.replace("lb_try_duration 5s", f"lb_try_duration {patience}")
        assert lines.count("\n:80 {\n") == 1
        config = directory / f"{port}.Caddyfile"
        lines = lines.replace("\n:80 {\n", f"\n:{port} {{\n\tbind 127.0.0.1\n")
        config.write_text(FRAME + lines)
        command = [path, "run", "--config", str(config), "--adapter", "caddyfile"]
        started.start(command, port, directory / "caddy.log", environment=os.environ | places)
        return port

    with processes() as started:
        yield run

"""The program of the recipes on deploying, and proxies in front of the program."""

import pytest
from support.apache import run_apache  # noqa: F401
from support.caddy import run_caddy  # noqa: F401
from support.haproxy import run_haproxy  # noqa: F401
from support.nginx import run_nginx  # noqa: F401
from support.proxies import run_recipe  # noqa: F401


@pytest.fixture
def http_server(serve_program, tmp_path):
    """The program, which keeps its events in a file."""
    engine = f"sqlite:{tmp_path}/events.db"
    return serve_program("examples/recipes/deploy/app.py", environment={"TATSUMAKI_ENGINE": engine})

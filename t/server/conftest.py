"""The server of the tests is the one that `Server` runs. There are clients that read little."""

import pytest
from support.wire import raw_small, small_buffers  # noqa: F401

from tatsumaki_py.server.http_server import LIMITS, StrictServer


@pytest.fixture
def options():
    """What the server is made with."""
    return {}


@pytest.fixture
def http_server(io_loop, app, options, _unused_port):
    server = StrictServer(app, **(LIMITS | options))
    server.add_socket(_unused_port[0])
    yield server
    server.stop()
    io_loop.run_sync(server.close_all_connections)

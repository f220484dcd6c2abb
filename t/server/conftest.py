"""Fixtures: the HTTP server that `Server` runs, and clients with small socket buffers."""

import pytest
from support.wire import raw_small, small_buffers  # noqa: F401

from tatsumaki_py.server.http_server import StrictServer


@pytest.fixture
def tornado_server_class():
    """The subclass of Tornado's server that `Server` uses."""
    return StrictServer

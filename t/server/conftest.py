"""The server of the tests is the one that `Server` runs. There are clients that read little."""

import pytest
from support.wire import raw_small, small_buffers  # noqa: F401

from tatsumaki_py.server.http_server import StrictServer


@pytest.fixture
def tornado_server_class():
    """Tornado's server, as `Server` uses it."""
    return StrictServer

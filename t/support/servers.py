"""The HTTP servers that tests run on: Tornado's or our `StrictServer`, and `FastServer`.

The tests in the folders `BOTH`, and others with the mark `both_servers`, run on the server of their
folder and on `FastServer`, unless they have the mark `tornado_server`. The other tests in the
folders `FAST` run on `FastServer`.
`pytest --http-server=fast` runs every other test with the fixture `http_server` on `FastServer`,
and `--http-server=tornado` runs it on the server of its folder.
"""

from pathlib import Path

import pytest
import tornado.httpserver

from tatsumaki_py.server.fast_server import FastServer
from tatsumaki_py.server.http_server import LIMITS

SERVERS = ["tornado", "fast"]

# Folders of `t` whose tests are about HTTP as a client sees it.
BOTH = {"handler", "hostile", "push", "request", "static_file", "websocket"}

# A folder with many tests of handlers that a `Server` serves.
FAST = {"endpoint"}


def pytest_addoption(parser):
    parser.addoption("--http-server", choices=["tornado", "fast"])


def pytest_configure(config):
    config.addinivalue_line("markers", "both_servers: runs on Tornado's server and on FastServer")
    config.addinivalue_line("markers", "tornado_server: is about Tornado's server, or its parts")


def pytest_generate_tests(metafunc):
    marks = {mark.name for mark in metafunc.definition.iter_markers()}
    asked = "both_servers" in marks
    if asked and "http_server_class" not in metafunc.fixturenames:
        pytest.fail(f"{metafunc.definition.name} has the mark both_servers, but no http_server")
    both = asked or Path(metafunc.module.__file__).parent.name in BOTH
    if both and "http_server_class" in metafunc.fixturenames and "tornado_server" not in marks:
        metafunc.parametrize("http_server_class", SERVERS, indirect=True)


@pytest.fixture
def tornado_server_class():
    """The server class of a program that does not use `Server`."""
    return tornado.httpserver.HTTPServer


@pytest.fixture
def http_server_class(request, tornado_server_class):
    """The class of `http_server`."""
    usual = "fast" if request.path.parent.name in FAST else "tornado"
    kind = getattr(request, "param", request.config.getoption("--http-server") or usual)
    return tornado_server_class if kind == "tornado" else FastServer


@pytest.fixture
def server_options():
    """Options of `http_server`. A server of this package also gets `LIMITS`."""
    return {}


@pytest.fixture
def http_server(io_loop, app, server_options, http_server_class, _unused_port):
    """A server for the application; it replaces the fixture of pytest-tornado."""
    if http_server_class is not tornado.httpserver.HTTPServer:
        server_options = LIMITS | server_options
    server = http_server_class(app, **server_options)
    server.add_socket(_unused_port[0])
    yield server
    server.stop()
    io_loop.run_sync(server.close_all_connections)

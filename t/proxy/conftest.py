"""Fixtures with the application behind a proxy."""

import pytest
from support.apache import run_apache  # noqa: F401
from support.caddy import run_caddy  # noqa: F401
from support.haproxy import run_haproxy  # noqa: F401
from support.lossy import proxy  # noqa: F401
from support.nginx import nginx, run_nginx  # noqa: F401
from support.proxies import run_recipe  # noqa: F401
from support.wire import iterations

from tatsumaki_py import Application, MessageQueue, PublishHandler, SubscribeHandler
from tatsumaki_py.server.http_server import LIMITS, StrictServer


@pytest.fixture
def subscribe_handler():
    """The class of the handler; a test may set its attributes at any time."""
    return type("Events", (SubscribeHandler,), {})


@pytest.fixture
def app(subscribe_handler):
    rules = [
        (r"/events", subscribe_handler),
        (r"/events/([\w.-]+)", subscribe_handler),
        (r"/publish/([\w.-]+)", PublishHandler),
    ]
    return Application(rules, cross_origin_protection=True)


@pytest.fixture
def http_server(io_loop, app, _unused_port):
    """Serve the application as `Server(xheaders=True)` does."""
    server = StrictServer(app, xheaders=True, **LIMITS)
    server.add_socket(_unused_port[0])
    yield server
    server.stop()
    io_loop.run_sync(server.close_all_connections)
    # nginx has stopped: streams that are still open notice this now.
    io_loop.run_sync(iterations)


@pytest.fixture
def queue():
    """The queue of the channel "room"."""
    return MessageQueue.instance("room")

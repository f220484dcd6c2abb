"""The application as it is served behind a proxy."""

import pytest
from support.nginx import nginx, run_nginx  # noqa: F401
from support.wire import iterations

from tatsumaki_py import Application, MessageQueue, PublishHandler, SubscribeHandler
from tatsumaki_py.server import LIMITS, _HTTPServer

class Settings:
    """What the handlers of a test have as their own."""

    heartbeat = 25.0


class Subscribe(SubscribeHandler):
    def prepare(self):
        self.heartbeat_interval = Settings.heartbeat


@pytest.fixture
def app(monkeypatch):
    monkeypatch.setattr("tatsumaki_py.push.framing.RETRY", (50, 60))
    rules = [(r"/events/([\w.-]+)", Subscribe), (r"/publish/([\w.-]+)", PublishHandler)]
    return Application(rules, cross_origin_protection=True)


@pytest.fixture
def http_server(io_loop, app, _unused_port):
    """As `Server(xheaders=True)` serves it."""
    server = _HTTPServer(app, xheaders=True, **LIMITS)
    server.add_socket(_unused_port[0])
    yield server
    server.stop()
    io_loop.run_sync(server.close_all_connections)
    # nginx has gone: streams that were not sent to their end see it now.
    io_loop.run_sync(iterations)


@pytest.fixture
def queue():
    """The queue of the channel "room"."""
    return MessageQueue.instance("room")


@pytest.fixture
def heartbeat(monkeypatch):
    """`heartbeat(seconds)` sets how often streams send one."""
    return lambda seconds: monkeypatch.setattr(Settings, "heartbeat", seconds)

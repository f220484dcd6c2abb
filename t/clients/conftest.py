"""A server with one route for subscribing, behind a proxy that cuts connections."""

import pytest
from support.lossy import proxy  # noqa: F401

from tatsumaki_py import Application, MessageQueue, SubscribeHandler


@pytest.fixture
def app(monkeypatch):
    # Short delays: an EventSource that waits for seconds would make the tests wait.
    monkeypatch.setattr("tatsumaki_py.push.framing.server_sent_events.RETRY", (50, 60))
    return Application([(r"/events/([\w.-]+)", SubscribeHandler)])


@pytest.fixture
def queue():
    """The queue of the channel "room"."""
    return MessageQueue.instance("room")


@pytest.fixture
def url(proxy):  # noqa: F811
    """The URL for subscribing, through the proxy."""
    return f"http://127.0.0.1:{proxy.port}/events/room"

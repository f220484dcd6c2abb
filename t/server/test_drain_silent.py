"""A client that does not answer the close frame of its WebSocket does not delay the stop, and its
socket is closed.
"""

import pytest
from support.subscriber import CLIENTS
from support.wire import open_sockets

from tatsumaki_py import Application, SubscribeHandler
from tatsumaki_py.life import Life
from tatsumaki_py.server import drain
from tatsumaki_py.server.drain import Drain, Limits

pytestmark = pytest.mark.both_servers


@pytest.fixture
def app():
    return Application([(r"/events/(\w+)", SubscribeHandler)])


@pytest.mark.gen_test
async def test_closed(http_server, http_port, monkeypatch):
    monkeypatch.setattr(drain, "LAST", 0.1)
    client = CLIENTS["websocket"](http_port)
    await client.open()
    await Drain(http_server, Life(), Limits(0.1, 0, 0)).run()
    assert open_sockets(http_port) == 0
    client.close()

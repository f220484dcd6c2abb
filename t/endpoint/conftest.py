"""An application with a `SubscribeHandler`, and clients on all transports."""

import pytest
from support.subscriber import CLIENTS, STREAMS
from support.wire import raw_small, small_buffers  # noqa: F401

from tatsumaki_py import Application, MessageQueue, PublishHandler, SubscribeHandler


@pytest.fixture
def handler():
    """The class of the handler; a test may set its attributes."""
    return type("Events", (SubscribeHandler,), {})


@pytest.fixture
def app(handler):
    return Application(
        [
            (r"/events/([\w.-]+)", handler),
            (r"/events", handler),
            (r"/publish/([\w.-]+)", PublishHandler),
        ]
    )


@pytest.fixture
def queue():
    """The queue of the channel "room"."""
    return MessageQueue.instance("room")


@pytest.fixture(params=CLIENTS)
def transport(request):
    """Each transport."""
    return request.param


@pytest.fixture(params=STREAMS)
def stream(request):
    """Each transport that has a stream."""
    return request.param


@pytest.fixture
def subscriber(http_server, http_port):
    """`client = subscriber("sse", cursor=..., ...)`: not open yet; see `Subscriber`."""
    made = []

    def subscriber(transport, **options):
        made.append(CLIENTS[transport](http_port, **options))
        return made[-1]

    yield subscriber
    for client in made:
        client.leave()

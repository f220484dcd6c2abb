"""A server with a `SubscribeHandler` and handlers that end in other ways."""

import pytest
from support.lossy import proxy  # noqa: F401

from tatsumaki_py import Application, Error, Handler, MessageQueue, SubscribeHandler


class Refusing(SubscribeHandler):
    """Refuses, as long as `status` is not None."""

    status = 403

    def can_subscribe(self, channel):
        if self.status is not None:
            raise Error.HTTP(self.status, "not now")
        return True


class Text(Handler):
    """Server-Sent Events of a handler of its own, which are no JSON."""

    async def get(self):
        self.server_sent_events(True)
        self.stream_write("not {json}")
        self.stream_write("5")


class Broken(Handler):
    """Says that it is a stream, and is none."""

    def get(self):
        self.set_header("Content-Type", "application/x-ndjson")
        self.write("half a li")


class Gone(Handler):
    """There is nothing more to come."""

    def get(self):
        self.set_status(204)


@pytest.fixture
def refusing():
    return type("Refusing", (Refusing,), {})


@pytest.fixture
def app(refusing):
    return Application(
        [
            (r"/events/(\w+)", SubscribeHandler),
            (r"/events", SubscribeHandler),
            (r"/refusing/(\w+)", refusing),
            ("/text", Text),
            ("/broken", Broken),
            ("/gone", Gone),
        ]
    )


@pytest.fixture
def queue():
    return MessageQueue.instance("room")


@pytest.fixture
def url(http_server, http_port):
    return f"http://127.0.0.1:{http_port}/events/room"

"""A server with a `SubscribeHandler` and handlers whose streams end in other ways."""

import pytest
from support.lossy import proxy  # noqa: F401

from tatsumaki_py import Application, Error, Handler, MessageQueue, SubscribeHandler


class Refusing(SubscribeHandler):
    """A handler that refuses requests unless `status` is None."""

    status = 403

    def can_subscribe(self, channel):
        if self.status is not None:
            raise Error.HTTP(self.status, "not now")
        return True


class Text(Handler):
    """A handler that sends Server-Sent Events that are not JSON."""

    async def get(self):
        self.server_sent_events(True)
        self.stream_write("not {json}")
        self.stream_write("5")


class Broken(Handler):
    """A handler that claims to send a stream, but sends something else."""

    def get(self):
        self.set_header("Content-Type", "application/x-ndjson")
        self.write("half a li")


class Gone(Handler):
    """A handler that says that no more events will come."""

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

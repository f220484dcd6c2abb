"""Fixtures with a WebSocket handler that the test holds, and its client."""

import pytest
from support.subscriber import CLIENTS
from support.wire import raw_small, small_buffers, soon  # noqa: F401

from tatsumaki_py import Application, MessageQueue, WebSocketHandler


class Pushing(WebSocketHandler):
    """A handler that stays open and sends what the test tells it to."""

    def initialize(self, made):
        made.append(self)
        self.messages, self.closed, self.finished = [], 0, 0

    def open(self):
        if self.request.param("id"):
            MessageQueue.instance("room").poll(self.request.param("id"), self.on_event)

    def on_event(self, *events):
        for event in events:
            self.stream_write(event)

    def on_message(self, message):
        self.messages.append(message)

    def on_close(self):
        self.closed += 1

    def on_finish(self):
        self.finished += 1


class Silent(Pushing):
    """A handler whose stream the wheel does not refer to for a while."""

    heartbeat_interval = None


class Failing(Pushing):
    def open(self):
        self.stream_write("before")
        raise ValueError("on purpose")


@pytest.fixture
def made():
    """The handlers, in the order of their requests."""
    return []


@pytest.fixture
def app(made):
    rules = {"/ws": Pushing, "/fail": Failing, "/silent": Silent}
    return Application([(path, handler, {"made": made}) for path, handler in rules.items()])


@pytest.fixture
def queue():
    return MessageQueue.instance("room")


@pytest.fixture
def connect(http_server, http_port, made):
    """`client, handler = await connect()` opens a WebSocket."""
    clients = []

    async def connect(path="/ws", **options):
        clients.append(CLIENTS["websocket"](http_port, path, **options))
        head = await clients[-1].open()
        assert head.status == 101
        return clients[-1], made[-1]

    yield connect
    for client in clients:
        client.close()

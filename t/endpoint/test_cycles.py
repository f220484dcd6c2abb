"""No connection leaves objects for the garbage collector, however the connection ends."""

import asyncio
import collections
import gc

import pytest
from support.subscriber import CLIENTS
from support.wire import iterations, soon
from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream

from tatsumaki_py import Application, Handler, MessageQueue, SubscribeHandler, WebSocketHandler
from tatsumaki_py.server.http_server import StrictServer
from tatsumaki_py.testing import Connection

COUNT = 8


class Refused(SubscribeHandler):
    def can_subscribe(self, channel):
        return False


class Grouped(SubscribeHandler):
    recheck_time = 60.0

    def group(self):
        return "ann"


class Socket(WebSocketHandler):
    def open(self, channel):
        MessageQueue.instance(channel).poll(None, self.on_new_event)

    def on_new_event(self, *events):
        for event in events:
            self.stream_write(event)


@pytest.fixture
def app():
    kinds = {"/events": SubscribeHandler, "/refused": Refused, "/socket": Socket}
    kinds["/grouped"] = Grouped
    return Application([(rf"{path}/(\w+)", kind) for path, kind in kinds.items()])


@pytest.fixture(params=[HTTPServer, StrictServer])
def port(request, app, io_loop, _unused_port):
    """The port of Tornado's server, then of the server that `Server` uses."""
    server = request.param(app)
    server.add_socket(_unused_port[0])
    yield _unused_port[1]
    server.stop()
    io_loop.run_sync(server.close_all_connections)


async def at_once(client):
    await client.connection.send(b"")
    client.connection.reset()


async def before_the_answer(client):
    await asyncio.sleep(0.005)
    client.connection.reset()


async def orderly(client):
    await client.connection.read_some()
    client.connection.close()


async def reset(client):
    await client.connection.read_some()
    client.connection.reset()


async def while_events_come(client):
    await client.connection.read_some()
    client.connection.reset()
    for number in range(3):
        MessageQueue.instance("room").publish({"n": number})


async def after_an_event(client):
    await client.connection.read_some()
    MessageQueue.instance("room").publish({"n": 1})
    await iterations()
    client.connection.reset()


async def close_frame(client):
    await client.connection.read_some()
    await client.send(b"", 0x8)
    await client.connection.read_all()
    client.connection.close()


async def no_frame(client):
    await client.connection.read_some()
    await client.connection.send(b"\xff" * 4)
    await client.connection.read_all()
    client.connection.close()


async def disconnected(client):
    await client.connection.read_some()
    Grouped.disconnect("ann")
    await client.connection.read_some()
    client.connection.close()


WAYS = [at_once, before_the_answer, orderly, reset, while_events_come, after_an_event]
CASES = [
    *((transport, "/events", way) for transport in CLIENTS for way in WAYS),
    *((transport, "/refused", way) for transport in CLIENTS for way in (at_once, orderly, reset)),
    *(("websocket", "/socket", way) for way in WAYS),
    *(
        ("websocket", path, way)
        for path in ("/events", "/socket")
        for way in (close_frame, no_frame)
    ),
    *((transport, "/grouped", way) for transport in CLIENTS for way in (orderly, reset)),
    *(
        (transport, "/grouped", disconnected)
        for transport in ("sse", "ndjson", "multipart", "websocket")
    ),
    *(
        ("websocket", path + "/room?foreign", way)
        for path in ("/events", "/socket")
        for way in (orderly, reset)
    ),
]


@pytest.fixture
def connect(port):
    async def connect(transport, path):
        name, foreign, _ = path.partition("/room?foreign")
        headers = {"Origin": "http://elsewhere.example"} if foreign else {}
        client = CLIENTS[transport](port, f"{name}/room", headers=headers, timeout=0)
        await client.request()
        return client

    return connect


@pytest.fixture
def handlers():
    """A function that returns the handlers and Tornado connections that this test has made."""
    kinds = Handler, WebSocketHandler, IOStream

    def found():
        return [thing for thing in gc.get_objects() if isinstance(thing, kinds)]

    gc.collect()
    # `get_objects` ignores frozen objects. They stay frozen, as all objects from before the first
    # test do: an `unfreeze` would make all later collections slow.
    gc.freeze()
    return found


@pytest.mark.parametrize(("transport", "path", "way"), CASES)
@pytest.mark.gen_test
async def test_nothing_is_left(connect, handlers, transport, path, way):
    """After each connection, handlers are freed, and no other objects are left either."""
    queue = MessageQueue.instance("room")
    queue.publish({"n": 0})

    async def one():
        await way(await connect(transport, path))

    await leaves_nothing(one, handlers)


UPGRADE = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"


@pytest.mark.parametrize(
    "request_",
    [
        f"GET /events/room HTTP/1.1\r\n{UPGRADE}",
        f"GET /socket/room HTTP/1.1\r\n{UPGRADE}",
        f"GET /events/room HTTP/1.0\r\n{UPGRADE}",
        "GET /events/room?timeout=x HTTP/1.1\r\n",
        "GET /events/room?transport=sse HTTP/1.0\r\n",
        "HEAD /events/room?transport=sse HTTP/1.1\r\n",
        "GET /nothing HTTP/1.1\r\n",
    ],
)
@pytest.mark.gen_test
async def test_nothing_is_left_of_other_requests(port, handlers, request_):
    """Refused handshakes and requests, old requests, and HEAD requests leave no objects behind."""

    async def one():
        client = await Connection.connect(port)
        await client.send(f"{request_}Host: localhost\r\n\r\n".encode())
        await client._receive()
        client.reset()

    await leaves_nothing(one, handlers)


async def leaves_nothing(one, handlers):
    # The first request makes objects that later requests share.
    await one()
    await soon(lambda: not handlers())
    gc.collect()
    gc.disable()
    try:
        for _ in range(COUNT):
            await one()
        await soon(lambda: not handlers())
        await iterations()
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        left = collections.Counter(type(thing).__name__ for thing in gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert not {name: count for name, count in left.items() if count >= COUNT}

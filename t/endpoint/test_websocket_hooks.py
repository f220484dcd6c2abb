"""The methods of Tornado's `WebSocketHandler` can also be overridden in a `SubscribeHandler`."""

import asyncio
import json

import pytest
from support.wire import iterations, soon
from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClosedError, websocket_connect

from tatsumaki_py import Error, MessageQueue, WebSocketHandler


@pytest.fixture
def connect(http_server, http_port):
    """`connection = await connect(**options)` returns a client of Tornado's."""
    connections = []

    async def connect(path="/events/room", headers=(), **options):
        request = HTTPRequest(f"ws://127.0.0.1:{http_port}{path}", headers=dict(headers))
        connections.append(await websocket_connect(request, **options))
        return connections[-1]

    yield connect
    for connection in connections:
        connection.close()


async def texts(connection, count):
    return [json.loads(await connection.read_message()) for _ in range(count)]


async def first(handler, connect, **methods):
    for name, method in methods.items():
        setattr(handler, name, method)
    return await connect()


@pytest.mark.parametrize(
    ("offered", "selected"),
    [(["access_token", "abc"], "access_token"), (["one"], "one"), (None, None)],
)
@pytest.mark.gen_test
async def test_the_first_subprotocol(connect, queue, offered, selected):
    """The server selects the first offered subprotocol; a browser would reject an answer without
    one.
    """
    connection = await connect(subprotocols=offered)
    assert connection.selected_subprotocol == selected
    queue.publish({"n": 1})
    assert (await texts(connection, 2))[1]["data"] == {"n": 1}


@pytest.mark.gen_test
async def test_empty_subprotocols(subscriber):
    """A header with only commas offers no subprotocol."""
    client = subscriber("websocket", headers={"Sec-WebSocket-Protocol": ", ,"})
    assert (await client.open()).status == 101
    assert "sec-websocket-protocol" not in client.head.headers


@pytest.mark.gen_test
async def test_select_subprotocol(handler, connect):
    """The handler may select a subprotocol, and knows the arguments of the route."""
    handler.select_subprotocol = lambda self, offered: offered[-1] if self.path_args else None
    assert (await connect(subprotocols=["a", "b"])).selected_subprotocol == "b"


@pytest.mark.gen_test
async def test_a_token(handler, connect):
    """`can_subscribe` can read a token that was sent as a subprotocol."""

    def can_subscribe(self, channel):
        return "secret" in self.request.headers.get("Sec-WebSocket-Protocol", "")

    handler.can_subscribe = can_subscribe
    assert (await connect(subprotocols=["access_token", "secret"])).selected_subprotocol
    with pytest.raises(Exception, match="403"):
        await connect(subprotocols=["access_token", "wrong"])


@pytest.mark.parametrize("allowed", [True, False])
@pytest.mark.gen_test
async def test_check_origin(handler, connect, allowed):
    """`check_origin` allows or refuses an origin."""
    handler.check_origin = lambda self, origin: allowed and origin == "http://elsewhere.example"
    headers = {"Origin": "http://elsewhere.example"}
    if allowed:
        await connect(headers=headers)
    else:
        with pytest.raises(Exception, match="403"):
            await connect(headers=headers)


@pytest.mark.gen_test
async def test_compression(handler, connect, queue):
    """Messages arrive after compression was agreed on; pushed events may be uncompressed."""
    handler.get_compression_options = lambda self: {}
    handler.on_message = lambda self, message: self.stream_write(message)
    connection = await connect(compression_options={})
    assert "permessage-deflate" in connection.headers["Sec-WebSocket-Extensions"]
    await texts(connection, 1)
    await connection.write_message(json.dumps("x" * 5000))
    assert await texts(connection, 1) == ["x" * 5000]
    queue.publish({"n": 1})
    assert (await texts(connection, 1))[0]["data"] == {"n": 1}


@pytest.mark.gen_test
async def test_messages(handler, connect, queue):
    """`on_message` gets large messages, may answer, and may be a coroutine."""

    async def on_message(self, message):
        await asyncio.sleep(0)
        self.stream_write({"size": len(message), "channel": self.path_args[0]})

    handler.on_message = on_message
    connection = await connect()
    await texts(connection, 1)
    await connection.write_message("x" * 50_000)
    assert await texts(connection, 1) == [{"size": 50_000, "channel": "room"}]


@pytest.mark.gen_test
async def test_writing(handler, connect):
    """`write` sends messages, and `finish` closes the connection; a second `finish` is ignored."""

    def on_message(self, message):
        self.write("a", {"b": 1})
        self.write(None)
        self.finish(message)
        self.finish("late")

    handler.on_message = on_message
    connection = await connect()
    await texts(connection, 1)
    await connection.write_message("bye")
    assert [await connection.read_message() for _ in range(4)] == ["a", '{"b":1}', "bye", None]
    assert connection.close_code == 1000


@pytest.mark.gen_test
async def test_a_message_that_fails(handler, connect, queue, expect_log):
    """An exception in `on_message` is logged by the handler, and the connection ends."""
    logged = []

    def log_exception(self, *exc_info):
        logged.append(exc_info[1])

    handler.log_exception = log_exception
    handler.on_message = lambda self, message: 1 / 0
    connection = await connect()
    await texts(connection, 1)
    await connection.write_message("x")
    assert await connection.read_message() is None
    assert [type(error) for error in logged] == [ZeroDivisionError]


@pytest.mark.gen_test
async def test_sizes(handler, subscriber):
    """Without `on_message`, messages must be small; `max_message_size` sets another limit."""
    client = subscriber("websocket")
    await client.open()
    await client.step()
    await client.send(b"x" * 5000, 0x1)
    assert await client.connection.read_exactly(4) == b"\x88\x11" + (1009).to_bytes(2)
    handler.max_message_size = 10_000
    client = subscriber("websocket")
    await client.open()
    await client.step()
    await client.send(b"x" * 5000, 0x1)
    await client.send(b"ping", 0x9)
    assert await client.connection.read_exactly(6) == b"\x8a\x04ping"


@pytest.mark.parametrize("kind", ["method", "coroutine"])
@pytest.mark.gen_test
async def test_open(handler, connect, queue, kind):
    """`open` gets the groups of the route, and is called before the client subscribes."""
    seen = []

    def opened(self, channel):
        seen.append((channel, len(queue.clients)))
        self.stream_write({"hello": channel})

    async def opened_later(self, channel):
        await asyncio.sleep(0.01)
        opened(self, channel)

    handler.open = opened if kind == "method" else opened_later
    connection = await connect()
    assert (await texts(connection, 2))[0] == {"hello": "room"}
    assert seen == [("room", 0)]
    assert len(queue.clients) == 1


@pytest.mark.gen_test
async def test_open_refuses(handler, connect, queue):
    """An `Error.HTTP` in `open` closes the connection with its message as the reason."""

    def opened(self, channel):
        Error.HTTP.throw(403, "not you")

    handler.open = opened
    connection = await connect()
    assert await connection.read_message() is None
    assert (connection.close_code, connection.close_reason) == (1008, "not you")
    assert len(queue.clients) == 0


@pytest.mark.gen_test
async def test_the_rest(handler, connect, queue):
    """The hooks for pings, pongs and the close are called, with the client's data."""
    calls = []
    handler.on_ping = lambda self, data: calls.append(("ping", data))
    handler.on_pong = lambda self, data: calls.append(("pong", data))
    handler.on_close = lambda self: calls.append(("close", self.close_code, self.close_reason))
    handler.ping_interval = 0.05
    handler.ping_timeout = property(lambda self: 0.04)
    connection = await connect()
    connection.ping(b"hi")
    await soon(lambda: ("ping", b"hi") in calls and ("pong", b"") in calls)
    connection.close(4001, "enough")
    await soon(lambda: ("close", 4001, "enough") in calls)
    with pytest.raises(WebSocketClosedError):
        await connection.write_message("x")


@pytest.mark.gen_test
async def test_after_the_end(handler, connect):
    """`stream_write` raises `Error.ClientDisconnect` after the WebSocket was closed."""
    made = []
    handler.open = lambda self, channel: made.append(self)
    connection = await connect()
    connection.close()
    await soon(lambda: made[0]._finished)
    await iterations()
    with pytest.raises(Error.ClientDisconnect):
        await made[0].stream_write("x")


@pytest.mark.parametrize("path", ["/events/room", "/plain", "/events?channel=hall&channel=room"])
@pytest.mark.gen_test
async def test_plain_messages(app, handler, connect, queue, path):
    """With `plain_messages`, events arrive without ids and cursors, but gaps are still sent."""

    class Plain(WebSocketHandler):
        plain_messages = True

        def open(self):
            MessageQueue.instance("room").poll(None, self.on_event)

        def on_event(self, *events):
            for event in events:
                self.stream_write(event)

    app.add_handlers(".*", [("/plain", Plain)])
    handler.plain_messages = True
    connection = await connect(path)
    await soon(lambda: queue._audience.roster.streams or queue._merged)
    queue.publish({"n": 1})
    several = "channel=" in path
    expected = {"channel": "room", "data": {"n": 1}} if several else {"n": 1}
    assert await texts(connection, 1) == [expected]
    if not several:
        connection = await connect(f"{path}?last_event_id=1-1&heartbeat=1")
        gap, event = await texts(connection, 2)
        assert (gap["type"], gap["after"], event) == ("gap", "1-1", {"n": 1})


@pytest.mark.parametrize(
    "offer",
    [
        "permessage-deflate; foo=bar",
        "permessage-deflate; server_max_window_bits=99",
        "permessage-deflate; server_max_window_bits=8",
        "permessage-deflate; client_max_window_bits=abc",
        "x-unknown; a=b",
        ";,=",
    ],
)
@pytest.mark.gen_test
async def test_an_offer_that_is_declined(handler, subscriber, offer):
    """An offer of compression that the server does not support is declined; a second offer is
    accepted.
    """
    handler.get_compression_options = lambda self: {}
    client = subscriber("websocket", headers={"Sec-WebSocket-Extensions": offer})
    assert (await client.open()).status == 101
    assert "sec-websocket-extensions" not in client.head.headers
    headers = {"Sec-WebSocket-Extensions": f"{offer}, permessage-deflate; client_max_window_bits"}
    client = subscriber("websocket", headers=headers)
    assert (await client.open()).status == 101
    assert client.head.headers["sec-websocket-extensions"] == "permessage-deflate"

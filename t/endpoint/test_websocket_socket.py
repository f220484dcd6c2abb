"""A WebSocket that the package reads itself answers pings and ends correctly."""

import asyncio
import gc
import json

import pytest
from support.wire import open_sockets, soon
from tornado.httpclient import HTTPRequest
from tornado.httpserver import HTTPServer
from tornado.testing import AsyncHTTPSTestCase, bind_unused_port
from tornado.websocket import websocket_connect

from tatsumaki_py.push import websocket_socket
from tatsumaki_py.push.frame_reader import FrameReader
from tatsumaki_py.push.websocket_socket import WebSocketSocket
from tatsumaki_py.testing import Ended

PING, PONG, CLOSE = 0x9, 0xA, 0x8


@pytest.fixture
def seen(handler):
    """The handlers, and the hooks that were called."""
    calls = []
    handler.open = lambda self, channel: calls.append(self)
    handler.on_close = lambda self: calls.append((self.close_code, self.close_reason))
    handler.on_finish = lambda self: calls.append("finish")
    return calls


@pytest.fixture
def connect(subscriber, seen):
    """`client, handler = await connect()` returns a client that has subscribed."""

    async def connect(**options):
        client = subscriber("websocket", **options)
        assert (await client.open()).status == 101
        assert await client.step() is None
        return client, seen[-1]

    return connect


async def close_frame(client):
    """Read a close frame and return its code and reason."""
    first, size = await client.connection.read_exactly(2)
    assert first == 0x88
    data = await client.connection.read_exactly(size)
    return int.from_bytes(data[:2]), data[2:].decode()


@pytest.mark.gen_test
async def test_pings(connect, queue):
    """Pings are answered, and pushed events arrive in between."""
    client, _ = await connect()
    await client.send(b"one", PING)
    assert await client.connection.read_exactly(5) == b"\x8a\x03one"
    queue.publish({"n": 1})
    assert await client.take(1) == [{"n": 1}]
    await client.send(b"ignored", 0x1)
    await client.send(b"ignored", PONG)
    await client.send(b"", PING)
    assert await client.connection.read_exactly(2) == b"\x8a\x00"


@pytest.mark.parametrize(
    ("payload", "answer", "told"),
    [
        (b"", b"\x88\x00", (None, None)),
        (b"\x03\xe8", b"\x88\x02\x03\xe8", (1000, None)),
        (b"\x0f\xa1enough", b"\x88\x02\x0f\xa1", (4001, "enough")),
    ],
)
@pytest.mark.gen_test
async def test_the_client_closes(connect, queue, seen, http_port, payload, answer, told):
    """A client's close frame is answered with its code, the connection ends, and `on_close` is
    called once.
    """
    client, handler = await connect()
    await client.send(payload, CLOSE)
    assert await client.connection.read_all() == answer
    await soon(lambda: not queue.subscribers and len(seen) == 3)
    assert seen[1:] == [told, "finish"]
    assert handler._finished
    assert open_sockets(http_port) == 0


@pytest.mark.gen_test
async def test_the_handler_closes(connect, queue, seen):
    """`finish` closes after the messages that were written. No more events are pushed, and the
    server waits for the client's close frame.
    """
    client, handler = await connect()
    queue.publish({"n": 1})
    handler.finish("bye")
    queue.publish({"n": 2})
    assert await client.take(1) == [{"n": 1}]
    assert await client.connection.read_exactly(5) == b"\x81\x03bye"
    assert await close_frame(client) == (1000, "")
    assert queue.subscribers == 0
    assert len(seen) == 1
    await client.send(b"late", PING)
    await client.send(b"\x03\xe8", CLOSE)
    assert await client.connection.read_all() == b""
    await soon(lambda: len(seen) == 3)
    assert seen[1:] == [(1000, None), "finish"]


@pytest.mark.parametrize("way", ["close", "reset", "wait"])
@pytest.mark.gen_test
async def test_no_answer_to_a_close_frame(connect, seen, monkeypatch, way):
    """If the client does not answer a close frame, the connection ends when the client leaves or
    after a timeout.
    """
    monkeypatch.setattr(websocket_socket, "CLOSE_TIMEOUT", 0.05)
    client, handler = await connect()
    handler.finish()
    assert await close_frame(client) == (1000, "")
    if way != "wait":
        getattr(client.connection, way)()
    await soon(lambda: len(seen) == 3)
    assert seen[1:] == [(None, None), "finish"]


REFUSED = {
    "unmasked": (b"\x81\x01x", 1002),
    "reserved bit": (b"\xc1\x80\0\0\0\0", 1002),
    "half a code": (b"\x88\x81\0\0\0\0x", 1002),
    "code 0": (b"\x88\x82\0\0\0\0\0\0", 1002),
    "code 1005": (b"\x88\x82\0\0\0\0\x03\xed", 1002),
    "code 5000": (b"\x88\x82\0\0\0\0\x13\x88", 1002),
    "giant": (b"\x82\xff" + b"\xff" * 8, 1009),
    "reason": (b"\x88\x83\0\0\0\0\x03\xe8\xff", 1007),
    "text": (b"\x81\x81\0\0\0\0\xff", 1007),
}


@pytest.mark.parametrize(("data", "code"), REFUSED.values(), ids=REFUSED)
@pytest.mark.gen_test
async def test_refused(connect, queue, seen, data, code):
    """An invalid frame closes the connection with a code and a reason, and no later frame
    is read.
    """
    client, _ = await connect()
    await client.connection.send(data + b"\x89\x80\0\0\0\0")
    told, reason = await close_frame(client)
    assert told == code
    assert reason
    assert await client.connection.read_all() == b""
    await soon(lambda: not queue.subscribers and len(seen) == 3)


@pytest.mark.gen_test
async def test_half_a_message(connect, seen):
    """An incomplete message is freed when the connection ends."""

    def readers():
        return sum(type(one) is FrameReader for one in gc.get_objects())

    client, _ = await connect()
    await client.connection.send(b"\x81\xfe\x0f\xa0\0\0\0\0" + b"x" * 3000)
    await soon(lambda: readers() == 1)
    client.close()
    await soon(lambda: "finish" in seen)
    assert readers() == 0


@pytest.mark.gen_test
async def test_frames_with_the_handshake(subscriber, seen, http_port):
    """A client may send frames, even many, before its handshake is answered."""
    client = subscriber("websocket")
    await client.request()
    await client.connection.send(b"\x89\x80\0\0\0\0" * 20_000)
    await client.connection.read_until(b"\r\n\r\n")
    await asyncio.wait_for(client.connection.read_until(b"\x8a\x00"), 5)
    client.close()
    await soon(lambda: open_sockets(http_port) == 0)


@pytest.mark.gen_test
async def test_it_ends_in_time(connect, handler, seen, monkeypatch, http_port):
    """`max_stream_time` closes the WebSocket with 1001."""
    monkeypatch.setattr(handler, "max_stream_time", 0.01)
    client, _ = await connect()
    with pytest.raises(Ended) as ended:
        await asyncio.wait_for(client.take(1), 5)
    assert ended.value.args == (1001,)
    client.close()
    await soon(lambda: open_sockets(http_port) == 0)


@pytest.mark.gen_test
async def test_open_fails(subscriber, handler, queue, expect_log):
    """An exception in `open` is logged, and the connection ends without a subscriber."""
    logged = []
    handler.open = lambda self, channel: 1 / 0
    handler.log_exception = lambda self, *exc_info: logged.append(exc_info[0])
    handler.on_close = lambda self: logged.append("close")
    client = subscriber("websocket")
    await client.open()
    assert await client.connection.read_all() == b""
    await soon(lambda: logged == [ZeroDivisionError, "close"])
    assert queue.subscribers == 0


@pytest.mark.gen_test
async def test_on_close_fails(connect, handler, seen):
    """An exception in `on_close` is logged, and the request still finishes."""
    logged = []
    handler.on_close = lambda self: 1 / 0
    handler.log_exception = lambda self, *exc_info: logged.append(exc_info[0])
    client, _ = await connect()
    client.close()
    await soon(lambda: "finish" in seen)
    assert logged == [ZeroDivisionError]


HOOKS = {
    "on_message": lambda self, message: None,
    "on_ping": lambda self, data: None,
    "on_pong": lambda self, data: None,
    "get_compression_options": lambda self: None,
    "ping_interval": 100.0,
}


@pytest.mark.parametrize("name", [*HOOKS, None])
@pytest.mark.gen_test
async def test_who_reads(connect, handler, queue, name):
    """Tornado reads the socket only if a hook needs the client's frames."""
    if name is not None:
        setattr(handler, name, HOOKS[name])
    _, outer = await connect()
    stream = vars(outer)["write"].__self__._stream
    assert isinstance(stream, WebSocketSocket) == (name is None)


@pytest.mark.gen_test
async def test_tls(app, seen, queue):
    """Over TLS, Tornado reads the socket, and the behaviour is the same."""
    server = HTTPServer(app, ssl_options=AsyncHTTPSTestCase.default_ssl_options())
    sock, port = bind_unused_port()
    server.add_socket(sock)
    url = f"wss://127.0.0.1:{port}/events/room"
    client = await websocket_connect(HTTPRequest(url, validate_cert=False))
    queue.publish({"n": 1})
    await client.read_message()
    assert json.loads(await client.read_message())["data"] == {"n": 1}
    assert not isinstance(vars(seen[0])["write"].__self__._stream, WebSocketSocket)
    client.close(4001, "enough")
    await soon(lambda: len(seen) == 3)
    assert seen[1:] == [(4001, "enough"), "finish"]
    server.stop()
    await server.close_all_connections()

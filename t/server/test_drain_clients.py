"""When the server stops, the streams and polls of all clients end in order."""

import asyncio
import contextlib
import socket
import ssl
import time

import pytest
import tornado.websocket
from support.subscriber import CLIENTS, STREAMS, read_to_end
from support.wire import iterations, open_sockets, read_reply, server_sockets, soon
from tornado.testing import AsyncHTTPSTestCase
from tornado.web import RequestHandler

from tatsumaki_py import (
    Application,
    Error,
    MessageQueue,
    PublishHandler,
    SubscribeHandler,
    WebSocketHandler,
)
from tatsumaki_py.health import Health
from tatsumaki_py.life import Life
from tatsumaki_py.message_queue.engine.memory import MemoryEngine
from tatsumaki_py.server import drain
from tatsumaki_py.server.drain import Drain, Limits
from tatsumaki_py.testing import Ended

pytestmark = pytest.mark.both_servers

closed = []
ANSWER_503 = (
    b"<html><title>503: Service Unavailable</title><body>503: Service Unavailable</body></html>"
)


class Opening(WebSocketHandler):
    async def open(self):
        await MessageQueue.instance("room").ready()


class TornadoSocket(tornado.websocket.WebSocketHandler):
    open_one = None

    def open(self):
        TornadoSocket.open_one = self

    def on_close(self):
        closed.append(self.close_code)


class Chatting(SubscribeHandler):
    def on_message(self, message):
        MessageQueue.instance("room").publish(message)


class ChattingLater(SubscribeHandler):
    async def on_message(self, message):
        MessageQueue.instance("room").publish(message)


class Looping(RequestHandler):
    async def get(self):
        async for events in MessageQueue.instance("room").poll("me"):
            self.write(f"{events[0].data} ")
        self.write("end")


class Endless(RequestHandler):
    async def get(self):
        while not self._finished:
            await MessageQueue.instance("room").poll_once("me")


class Tornado(RequestHandler):
    async def get(self):
        self.write({"events": await MessageQueue.instance("room").poll_once("me")})


@pytest.fixture
def app():
    return Application(
        [
            (r"/events/(\w+)", SubscribeHandler),
            (r"/chat/(\w+)", Chatting),
            (r"/later/(\w+)", ChattingLater),
            (r"/publish/(\w+)", PublishHandler),
            ("/opening", Opening),
            ("/loop", Looping),
            ("/endless", Endless),
            ("/tornado", Tornado),
            ("/socket", TornadoSocket),
        ]
    )


@pytest.fixture
def stop(http_server, monkeypatch):
    """`await stop()` stops the server and returns how many seconds the stop took."""
    monkeypatch.setattr(drain, "LAST", 0.2)

    async def run(grace=1.0, delay=0.0):
        began = time.monotonic()
        await Drain(http_server, Life(), Limits(grace, delay, 30)).run()
        return time.monotonic() - began

    return run


class Stuck(MemoryEngine):
    """An engine that never loads a channel and never closes."""

    closed = 0

    def open(self, feed):
        pass

    async def close(self):
        self.closed += 1
        await asyncio.Event().wait()


@pytest.mark.parametrize("transport", STREAMS)
@pytest.mark.gen_test
async def test_a_slow_reader(http_port, stop, transport, small_buffers, raw_small):
    """A slow client gets all accepted events if it reads in time."""
    client = CLIENTS[transport](http_port, connect=raw_small)
    await client.start()
    for number in range(30):
        MessageQueue.instance("room").publish(f"{number} " + "x" * 10_000)
    stopping = asyncio.ensure_future(stop(5))
    await asyncio.sleep(0.1)
    received = await read_to_end(client)
    assert [event.split()[0] for event in received] == [str(number) for number in range(30)]
    client.close()
    assert await stopping < 2


@pytest.mark.parametrize("transport", STREAMS)
@pytest.mark.gen_test
async def test_a_reader_that_does_not_read(
    http_port,
    stop,
    transport,
    small_buffers,
    raw_small,
    expect_log,
):
    """A client that does not read is cut off, and the log says so."""
    client = CLIENTS[transport](http_port, connect=raw_small)
    await client.start()
    MessageQueue.instance("room").publish(*["x" * 10_000] * 30)
    with expect_log("tatsumaki", r"cut after 0\.\d seconds: 0 requests and 1 streams"):
        assert 0.1 < await stop(0.1) < 1
    assert open_sockets(http_port) == 0


@pytest.mark.parametrize("transport", STREAMS)
@pytest.mark.gen_test
async def test_an_end_that_is_not_read(http_port, stop, transport, expect_log):
    """A client that read all events but not the end of its stream is counted as cut off."""
    client = CLIENTS[transport](http_port)
    await client.start()
    with server_sockets(http_port) as (sock,), contextlib.suppress(BlockingIOError):
        while True:
            sock.send(b"x" * 100_000, socket.MSG_DONTWAIT)
    with expect_log("tatsumaki", "cut after .*: 0 requests and 1 streams"):
        await stop(0.1)
    assert open_sockets(http_port) == 0
    client.close()


@pytest.mark.parametrize("ends", [True, False])
@pytest.mark.gen_test
async def test_a_loop_of_tornado(ask, stop, ends, expect_log):
    """A Tornado handler that polls in a loop can write the end of its answer. If its loop does not
    end, the handler is cut off.
    """
    client = await ask("GET /loop" if ends else "GET /endless")
    await soon(lambda: MessageQueue.instance("room").clients)
    MessageQueue.instance("room").publish(1)
    log = contextlib.nullcontext() if ends else expect_log("tatsumaki", "1 requests and 0 streams")
    with log:
        assert await stop(5) < 3
    reply = await read_reply(client)
    assert reply.status == (200 if ends else 503)
    assert (reply.body == b"1 end") is ends


@pytest.mark.parametrize("transport", CLIENTS)
@pytest.mark.gen_test
async def test_a_slow_engine(http_port, stop, transport, monkeypatch, expect_log):
    """A client whose poll waits for the engine also gets a normal end. The engine is closed, within
    a time limit.
    """
    monkeypatch.setattr(drain, "ENGINE", 0.05)
    engine = Stuck()
    MessageQueue.configure(engine)
    client = CLIENTS[transport](http_port, client_id="me")
    opening = asyncio.ensure_future(client.open())
    await soon(lambda: MessageQueue.instance("room").clients)
    with expect_log("tatsumaki", r"the engine did not close within 0\.05 seconds"):
        assert await stop() < 0.95
    assert (await opening).status in (101, 200)
    if client.streams:
        assert await read_to_end(client) == []
    else:
        assert client.unread == []
    assert engine.closed == 1
    client.close()


@pytest.mark.gen_test
async def test_an_open_that_waits(http_port, stop, monkeypatch, expect_log):
    """A WebSocket whose `open` waits for the engine is closed with 1001."""
    monkeypatch.setattr(drain, "ENGINE", 0.05)
    MessageQueue.configure(Stuck())
    client = CLIENTS["websocket"](http_port, "/opening")
    await client.open()
    with expect_log("tatsumaki", "the engine did not close"):
        await stop()
    with pytest.raises(Ended) as end:
        await client.step()
    assert end.value.args == (1001,)
    client.close()


@pytest.mark.gen_test
async def test_a_tornado_handler(ask, stop):
    """A poll that a Tornado handler awaits returns without events when the server stops."""
    client = await ask("GET /tornado")
    await soon(lambda: MessageQueue.instance("room").clients)
    assert await stop(5) < 3
    assert (await read_reply(client)).body == b'{"events": []}'


@pytest.mark.gen_test
async def test_health(http_port, stop):
    """Health checks fail for `drain_delay` seconds while the server still accepts clients, and
    events are accepted until the streams end.
    """
    client = CLIENTS["sse"](http_port)
    await client.start()
    stopping = asyncio.ensure_future(stop(1, 0.1))
    await asyncio.sleep(0.05)
    assert Health.current().reason() == "draining"
    late = CLIENTS["ndjson"](http_port)
    await late.start()
    MessageQueue.instance("room").publish(1)
    assert await read_to_end(client) == await read_to_end(late) == [1]
    assert 0.1 < await stopping < 0.95
    assert Health.current().reason() is None
    client.close()
    late.close()


@pytest.mark.gen_test
async def test_publishing_ends(http_port, stop, small_buffers, raw_small):
    """Publishing ends before the streams do: `publish` raises while the last events are sent. It
    works again after the stop, for the next server of the process.
    """
    client = CLIENTS["sse"](http_port, connect=raw_small)
    await client.start()
    queue = MessageQueue.instance("room")
    queue.publish(*["x" * 10_000] * 30)
    stopping = asyncio.ensure_future(stop(5))
    await asyncio.sleep(0.05)
    for publish in (queue.publish, queue.append_backlog):
        with pytest.raises(Error.HTTP, match="the server is stopping") as refused:
            publish("late")
        assert (refused.value.code, refused.value.retry_after) == (503, 1)
    assert len(await read_to_end(client)) == 30
    client.close()
    await stopping
    assert await queue.publish("on time")


@pytest.mark.gen_test
async def test_publishing_is_refused(fetch, monkeypatch):
    """A client that publishes during the stop gets a 503 with `Retry-After`."""
    monkeypatch.setattr(MessageQueue._registry, "closed", True)
    headers = {"Content-Type": "application/json"}
    answer = await fetch("/publish/room", method="POST", body='"late"', headers=headers)
    assert (answer.code, answer.headers["Retry-After"]) == (503, "1")
    assert answer.body == b"the server is stopping"


@pytest.mark.parametrize("path", ["/chat/room", "/later/room"])
@pytest.mark.gen_test
async def test_a_message_is_refused(http_server, http_port, monkeypatch, path):
    """A WebSocket whose message publishes during the stop is closed with 1013, after the accepted
    events.
    """
    client = CLIENTS["websocket"](http_port, path)
    await client.open()
    MessageQueue.instance("room").publish("on time")
    monkeypatch.setattr(MessageQueue._registry, "closed", True)
    await client.send(b"late", 0x1)
    assert (await client.next()).data == "on time"
    with pytest.raises(Ended) as end:
        await client.next()
    assert end.value.args == (1013,)
    client.close()


@pytest.mark.gen_test
async def test_long_polls_return_one_after_the_other(http_port, stop, monkeypatch):
    """The clients of long polls get delays as those of streams do, but shorter ones, in the header
    `Retry-After`, in whole seconds.
    """
    monkeypatch.setattr(drain, "RETURNS", 1)
    polls = [CLIENTS["long-poll"](http_port) for _ in range(3)]
    stream = CLIENTS["sse"](http_port)
    opening = [asyncio.ensure_future(poll.open()) for poll in polls]
    await stream.start()
    await soon(lambda: len(MessageQueue.instance("room").clients) == 4)
    await stop()
    heads = await asyncio.gather(*opening)
    seconds = sorted(int(head.headers["retry-after"]) for head in heads)
    assert [place + 1 <= value <= place + 2 for place, value in enumerate(seconds)] == [True] * 3
    assert await read_to_end(stream) == []
    assert 3500 <= stream.retry <= 4500
    for client in (*polls, stream):
        client.close()


@pytest.mark.parametrize("reads", [True, False])
@pytest.mark.gen_test
async def test_a_tornado_websocket_that_is_slow(
    http_port, stop, reads, small_buffers, raw_small, expect_log
):
    """The slow client of a Tornado WebSocket gets all written data if it reads in time; otherwise
    it is counted as cut off.
    """
    client = CLIENTS["websocket"](http_port, "/socket", connect=raw_small)
    await client.open()
    message = {"id": "1-0", "data": "x" * 10_000}
    written = [TornadoSocket.open_one.write_message(message) for _ in range(30)]
    stopping = asyncio.ensure_future(stop(5 if reads else 0))
    if reads:
        await asyncio.sleep(0.05)
        assert await read_to_end(client) == ["x" * 10_000] * 30
        await client.send(b"\x03\xe9", 0x8)
        assert await stopping < 2
    else:
        with expect_log("tatsumaki", "cut after .*: 0 requests and 1 streams"):
            await stopping
    assert open_sockets(http_port) == 0
    await asyncio.gather(*written, return_exceptions=True)
    client.close()


HELLO = b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.gen_test
async def test_a_request_in_the_same_moment(http_server, http_port, raw, stop):
    """A request that arrives as the server stops is served, whether its connection is kept alive or
    has just been opened.
    """
    kept, new, idle = [await raw(http_port) for _ in range(3)]
    for client in (kept, idle):
        await client.send(HELLO)
        assert (await read_reply(client)).status == 404
    kept.sock.send(HELLO)
    stopping = asyncio.ensure_future(stop())
    await iterations(3)
    await new.send(HELLO)
    assert await idle.read_all() == b""
    for client in (kept, new):
        reply = await read_reply(client)
        assert (reply.status, reply.headers["connection"]) == (404, "close")
        assert await client.read_all() == b""
    assert await stopping < 0.95


@pytest.mark.gen_test
async def test_a_connection_without_a_request(http_port, raw, stop):
    """A connection without a request does not delay the stop."""
    client = await raw(http_port)
    await asyncio.sleep(0.01)
    assert await stop(5) < 3
    assert await client.read_all() == b""


@pytest.mark.parametrize(
    "server_options", [{"ssl_options": AsyncHTTPSTestCase.default_ssl_options()}], ids=["TLS"]
)
@pytest.mark.gen_test
async def test_tls(http_port, stop, server_options):
    """Over TLS, streams, long polls and idle connections end in the same way."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    paths = ("/events/room?transport=sse", "/events/room?transport=long-poll", "/hello")
    clients = []
    for path in paths:
        reader, writer = await asyncio.open_connection("127.0.0.1", http_port, ssl=context)
        clients.append((reader, writer))
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    (stream, _), (poll, _), (kept, _) = clients
    await stream.readuntil(b"\n\n")
    await kept.readuntil(b"\r\n\r\n404 Not Found")
    await soon(lambda: len(MessageQueue.instance("room").clients) == 2)
    assert await stop() < 0.95
    assert (await stream.read()).endswith(b"\n\n\r\n0\r\n\r\n")
    assert (await poll.read()).endswith(b"\r\n\r\n[]")
    assert await kept.read() == b""
    for _, writer in clients:
        writer.close()


@pytest.mark.parametrize("answers", [True, False])
@pytest.mark.gen_test
async def test_a_tornado_websocket(http_port, stop, answers, monkeypatch):
    """A Tornado WebSocket is closed with 1001, even if its client sends no close frame."""
    monkeypatch.setattr(drain, "LAST", 1.0)
    closed.clear()
    client = CLIENTS["websocket"](http_port, "/socket")
    await client.open()
    stopping = asyncio.ensure_future(stop(5))
    with pytest.raises(Ended) as end:
        await client.next()
    assert end.value.args == (1001,)
    if answers:
        await client.send(b"\x03\xe9", 0x8)
    assert (await stopping < 0.95) is answers
    assert open_sockets(http_port) == 0
    assert closed == [1001 if answers else None]
    client.close()

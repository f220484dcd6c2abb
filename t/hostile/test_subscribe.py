"""A request to a SubscribeHandler is answered, or refused with one line, without a traceback."""

import asyncio
import json

import pytest
from support.subscriber import CLIENTS
from support.wire import iterations, open_sockets, read_head, read_reply, soon

from tatsumaki_py import MessageQueue

SSE = b"GET /events/room?transport=sse HTTP/1.1\r\nHost: x\r\n"
EVIL = [
    "a%0d%0aX-Evil:%201",
    "a%0aX-Evil:%201",
    "a%00",
    "%1b[31m",
    "%ff%fe",
    "%e2%80%a8",
    "9" * 5000,
]


@pytest.mark.parametrize("text", EVIL)
@pytest.mark.parametrize("name", ["last_event_id", "client_id", "transport", "timeout", "channel"])
@pytest.mark.gen_test
async def test_parameters(server, name, text):
    """The text of a parameter adds no header, and no line to the answer."""
    route = "/events" if name == "channel" else "/events/room"
    MessageQueue.instance("room").publish({"n": 1})
    reply = await server.get(f"{route}?timeout=0&{name}={text}")
    assert reply.status in (200, 400)
    assert "x-evil" not in reply.headers
    assert b"\n" not in reply.body
    assert reply.status == 400 or name != "transport"
    await server.is_well()


@pytest.mark.parametrize("transport", ["sse", "ndjson", "multipart"])
@pytest.mark.parametrize("text", EVIL)
@pytest.mark.gen_test
async def test_parameters_of_streams(server, transport, text):
    """The text of a parameter never gets into a stream."""
    query = f"transport={transport}&client_id={text}&event_type={text}"
    client = await server.connect(f"GET /events/room?{query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    head = await read_head(client)
    assert head.status in (200, 400)
    if head.status == 200:
        MessageQueue.instance("room").publish({"n": 1})
        assert b"Evil" not in await client.read_until(b'{"n":1}')
    await server.is_well()


@pytest.mark.parametrize(
    "cursor",
    [
        b"1-0\x00",
        b"1-0, 2-0",
        b"-",
        b"1-0-0",
        b"1" * 21 + b"-0",
        b"\xff",
        b"1-0\t2-0",
        b"\xd9\xa1-0",
    ],
)
@pytest.mark.parametrize("transport", CLIENTS)
@pytest.mark.gen_test
async def test_cursors_that_are_none(server, transport, cursor):
    """An invalid cursor leads to a gap, unless the head is too large. No answer repeats it."""
    upgrade = "transport" if transport != "websocket" else "Upgrade: websocket\r\nX"
    lines = [
        f"GET /events/room?timeout=0&transport={transport} HTTP/1.1",
        "Host: x",
        upgrade + ": y",
    ]
    data = "\r\n".join(lines).encode() + b"\r\nLast-Event-ID: " + cursor + b"\r\n\r\n"
    client = await server.connect(data)
    head = await read_head(client)
    assert head.status in (200, 400, 426)
    assert head.headers.get("last-event-id", "0-0") in (
        "0-0",
        MessageQueue.instance("room").cursor(),
    )
    client.close()
    await soon(lambda: not MessageQueue.instance("room").clients)
    await server.is_well()


@pytest.mark.gen_test
async def test_many_channels(server):
    """Too many channels are refused before any of them is made."""
    names = "&".join(f"channel=c{number}" for number in range(900))
    reply = await server.get(f"/events?timeout=0&{names}")
    assert reply.status == 400
    assert not MessageQueue.channels()
    reply = await server.get("/events?timeout=0&" + "channel=same&" * 900)
    assert reply.status == 200
    reply = await server.get("/events?timeout=0&channel=" + "x" * 5000)
    assert reply.status == 400
    await server.is_well()


@pytest.mark.parametrize(
    "accept",
    [
        ",".join(["a/b"] * 8000),
        ",".join(f"a/b;q=0.{number}" for number in range(2300)) + ",text/event-stream",
        ";" * 30_000,
        "," * 30_000,
        "text/event-stream;q=" + "9" * 5000,
        "text/event-stream;q=nan",
        "text/event-stream;q=-1",
        "text/event-stream;q=inf",
        "text/event-stream" + ";a=b" * 5000,
        '"text/event-stream',
    ],
    ids=lambda accept: accept[:20],
)
@pytest.mark.gen_test
async def test_accept(server, accept):
    """Any Accept header is understood or gets a 406, immediately."""
    client = await server.connect(
        f"GET /events/room HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\n\r\n".encode()
    )
    queue = MessageQueue.instance("room")
    await asyncio.wait_for(server.is_well(), 0.5)
    await iterations()
    queue.publish({"n": 1})
    reply = await read_head(client)
    assert reply.status in (200, 406)
    await server.is_well()


@pytest.mark.parametrize(
    "headers",
    [
        "Upgrade: websocket",
        "Upgrade: websocket\r\nConnection: close",
        "Upgrade: websocket\r\nConnection: keep-alive, Upgrade",
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 99",
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: x",
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13",
        "Upgrade: WebSocket, h2c\r\nConnection: Upgrade",
        "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
        "Upgrade: TLS/1.0\r\nConnection: Upgrade",
        "Connection: Upgrade",
        "Upgrade: websocket\r\nUpgrade: websocket\r\nConnection: Upgrade",
    ],
)
@pytest.mark.gen_test
async def test_odd_upgrades(server, headers):
    """An invalid handshake gets a 4xx, or is treated like any other request."""
    target = "/events/room?timeout=0"
    reply = await server(f"GET {target} HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n".encode())
    if headers.startswith("Upgrade: websocket") and headers.count("Upgrade: ") == 1:
        assert reply.status in (400, 426)
        assert not MessageQueue.instance("room").clients
    else:
        assert (reply.status, reply.body) == (200, b"[]")
    await server.is_well()


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
@pytest.mark.parametrize("transport", CLIENTS)
@pytest.mark.gen_test
async def test_head(server, transport, version):
    """HEAD gets the head of the answer, and makes no subscriber."""
    data = f"HEAD /events/room?transport={transport} {version}\r\nHost: x\r\n\r\n".encode()
    reply = await server(data, "HEAD")
    assert reply.status == (426 if transport == "websocket" else 200)
    await iterations()
    assert not MessageQueue.instance("room").clients
    await server.is_well()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "FOO"])
@pytest.mark.gen_test
async def test_other_methods(server, method):
    """Other methods get a 405."""
    reply = await server(f"{method} /events/room HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert reply.status == 405
    await server.is_well()


@pytest.mark.parametrize("transport", ["sse", "ndjson", "multipart", "websocket"])
@pytest.mark.gen_test
async def test_half_closed(server, transport):
    """A client that closes its sending side counts as having left."""
    subscriber = CLIENTS[transport](server.port, connect=server.raw)
    await subscriber.open()
    subscriber.connection.half_close()
    await soon(lambda: open_sockets(server.port) == 0)
    await server.is_well()


@pytest.mark.gen_test
async def test_pipelined_before_a_stream(server):
    """Requests before a stream are answered in order, and requests behind it are not executed."""
    client = await server.connect(
        b"GET /echo?n=1 HTTP/1.1\r\nHost: x\r\n\r\n" * 3 + SSE + b"\r\n"
        b"GET /echo?n=smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    )
    for _ in range(3):
        assert b'"n":"1"' in (await read_reply(client)).body
    head = await read_head(client)
    assert head.headers["content-type"] == "text/event-stream"
    MessageQueue.instance("room").publish({"n": 1})
    await client.read_until(b'{"n":1}')
    MessageQueue.instance("room").disconnect()
    assert b"smuggled" not in await client.read_all()


@pytest.mark.parametrize(
    "body",
    ["Content-Length: 3\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"],
)
@pytest.mark.gen_test
async def test_a_body(server, body):
    """The body of a GET is skipped, and the connection ends with the stream."""
    client = await server.connect(SSE + body.encode())
    assert (await read_head(client)).status == 200
    MessageQueue.instance("room").publish({"n": 1})
    await client.read_until(b'{"n":1}')
    MessageQueue.instance("room").disconnect()
    await client.read_all()


@pytest.mark.parametrize("transport", ["sse", "ndjson", "multipart", "long-poll"])
@pytest.mark.gen_test
async def test_http_1_0(server, transport):
    """With HTTP/1.0, a stream has no chunks and ends with the connection."""
    client = await server.connect(
        f"GET /events/room?transport={transport} HTTP/1.0\r\n\r\n".encode()
    )
    queue = MessageQueue.instance("room")
    await soon(lambda: queue.clients)
    queue.publish({"n": 1})
    head = await read_head(client)
    assert "transfer-encoding" not in head.headers
    await client.read_until(b'{"n":1}')
    queue.disconnect()
    assert b"\r\n0\r\n" not in await client.read_all()


@pytest.mark.gen_test
async def test_a_storm(server):
    """Hundreds of clients that come and go at the same time, in every way, leave nothing behind."""
    for number in range(300):
        kind = list(CLIENTS.values())[number % len(CLIENTS)]
        subscriber = kind(server.port, connect=server.raw, client_id=f"c{number % 7}")
        await subscriber.request()
        if number % 3:
            await asyncio.sleep(0)
        subscriber.connection.reset() if number % 2 else subscriber.connection.close()
    queue = MessageQueue.instance("room")
    await soon(lambda: open_sockets(server.port) == 0)
    queue.publish({"n": 1})
    assert {client.state.name for client in queue.clients.values()} <= {"ABSENT"}
    reply = await server.get("/events/room?transport=interval-poll")
    assert json.loads(reply.body) == [{"n": 1}]

"""A POST to a PublishHandler is an event, or gets a 4xx and publishes nothing."""

import asyncio
import gzip
import json

import pytest
from support.wire import read_reply, soon

from tatsumaki_py import MessageQueue

JSON = "Content-Type: application/json"


@pytest.mark.parametrize(
    "body",
    [
        b'{"n":1e999}',
        b'{"n":-1e999}',
        b'{"n":' + b"1" * 5000 + b"}",
        b'{"n":NaN}',
        b'{"n":"\\ud800"}',
        b'{"\\udfff":1}',
        b'{"n":"\xff"}',
        b'{"n":"\xed\xa0\x80"}',
        b'{"n":' * 100_000,
        b'{"n":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        b'{"n":1}{"n":2}',
        b'{"n":1}\x00',
        b"\xef\xbb\xbf{",
        b"\xff\xfe{\x00}\x00x",
        b'[{"n":1},[1e999]]',
        b'[{"n":1},nul]',
        b'["\\ud800"]',
        b"1" * 5000,
        b'"' * 100_000,
        b"[" + b"{}," * 1000 + b"{}]",
        b'{"n":"\n"}',
        b'{"n":1,}',
    ],
    ids=lambda body: repr(body[:16]),
)
@pytest.mark.gen_test
async def test_no_event(server, queue, body):
    """A body that is not an event gets a 400 or 413 with one line, and publishes nothing."""
    reply = await server.post("/publish/room", body, JSON)
    assert reply.status in (400, 413)
    assert reply.headers["content-type"] == "text/plain; charset=UTF-8"
    assert b"\n" not in reply.body
    assert len(reply.body) < 500
    assert queue.backlog_events == []
    await server.is_well()


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(b'{"n":1}')),
        ("gzip", gzip.compress(b'{"n":"' + b"x" * 50_000_000 + b'"}')),
        ("br", b"\x8b\x03\x80"),
        ("gzip, gzip", gzip.compress(gzip.compress(b'{"n":1}'))),
    ],
    ids=["gzip", "bomb", "br", "twice"],
)
@pytest.mark.gen_test
async def test_compressed(server, queue, encoding, body):
    """Compressed bodies are not decompressed, so a decompression bomb does no harm."""
    reply = await server.post("/publish/room", body, JSON, f"Content-Encoding: {encoding}")
    assert reply.status in (400, 415)
    assert queue.backlog_events == []
    await server.is_well()


@pytest.mark.parametrize("text", ["a\r\n b", "", "x" * 5000, "caf\xe9", '"quoted"', "a, b"])
@pytest.mark.gen_test
async def test_idempotency_keys(server, queue, text):
    """An idempotency key may be any text, or is refused. It never reaches an answer or a log."""
    replies = [
        await server.post("/publish/room", b'{"n":1}', JSON, f"Idempotency-Key: {text}")
        for _ in range(2)
    ]
    assert [reply.status for reply in replies] in ([200, 200], [400, 400])
    if text:
        assert replies[0].body == replies[1].body
        assert len(queue.backlog_events) <= 1
    assert "idempotency-key" not in replies[0].headers
    await server.is_well()


@pytest.mark.gen_test
async def test_many_idempotency_keys(server, queue):
    """Fifty simultaneous requests with the same key publish one event with one id."""
    body = b'{"n":1}'
    head = f"POST /publish/room HTTP/1.1\r\nHost: x\r\n{JSON}\r\nIdempotency-Key: k\r\n"
    request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    clients = [await server.connect(request) for _ in range(50)]
    replies = [await read_reply(client) for client in clients]
    assert {reply.status for reply in replies} == {200}
    assert len({reply.body for reply in replies}) == 1
    assert queue.backlog_events == [{"n": 1}]


@pytest.mark.parametrize(
    "event",
    [
        {"id": "9-9", "data": {"n": 2}},
        {"channel": "other", "data": {}},
        {"text": "x\n\nid: 9-9\nevent: gap\ndata: {}\n\n"},
        {"text": "x\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"},
        {"type": "a\nid: 9-9\ndata: evil"},
    ],
)
@pytest.mark.parametrize("transport", ["sse", "ndjson", "multipart"])
@pytest.mark.gen_test
async def test_events_that_look_like_the_protocol(server, queue, transport, event):
    """An event that looks like the protocol neither moves a cursor nor ends a stream."""
    query = f"transport={transport}&event_type=1&last_event_id={queue.cursor()}"
    client = await server.connect(f"GET /events/room?{query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    await soon(lambda: queue.clients)
    reply = await server.post("/publish/room", json.dumps(event).encode(), JSON)
    id = json.loads(reply.body)["id"]
    queue.publish({"n": "last"})
    text = (await asyncio.wait_for(client.read_until(b'"n":"last"'), 2)).decode()
    lines = [line.lower() for line in text.replace("\r\n", "\n").split("\n")]
    for field in ("id: 9-9", "last-event-id: 9-9", "data: evil", "event: gap"):
        assert field not in lines
    assert text.count(id) == 1 if transport != "multipart" else id in text
    queue.disconnect()
    await client.read_until(b"\r\n0\r\n\r\n")


@pytest.mark.parametrize("how", ["close", "reset", "half_close"])
@pytest.mark.gen_test
async def test_who_publishes_and_leaves(server, queue, how):
    """A complete request is executed, even if the client does not read the answer."""
    body = b'{"n":1}'
    head = (
        f"POST /publish/room HTTP/1.1\r\nHost: x\r\n{JSON}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    client = await server.connect(head.encode() + body)
    getattr(client, how)()
    await soon(lambda: queue.backlog_events == [{"n": 1}]) if how != "reset" else None
    await server.is_well()
    assert len(queue.backlog_events) <= 1


@pytest.mark.gen_test
async def test_a_form_of_many_fields(server, queue):
    """A form with too many fields is refused."""
    body = "&".join(f"f{number}=1" for number in range(5000)).encode()
    reply = await server.post("/publish/room", body)
    assert reply is None or reply.status in (200, 400)
    await server.is_well()


@pytest.mark.gen_test
async def test_channels_for_nothing(server):
    """A client that publishes on too many channels gets a 503. Other clients can publish."""
    limit, MessageQueue.max_channels = MessageQueue.max_channels, 20
    try:
        statuses = [
            (await server.post(f"/publish/c{number}", b'{"n":1}', JSON)).status
            for number in range(25)
        ]
    finally:
        MessageQueue.max_channels = limit
    assert set(statuses[:20]) == {200}
    assert set(statuses[20:]) <= {200, 503}
    assert len(MessageQueue.channels()) <= 20
    await server.is_well()

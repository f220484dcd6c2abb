"""Multipart streams of the chat program: the bytes that the original's client reads."""

import re

import pytest
from support.wire import iterations, read_chunk, read_head, read_reply, soon

DELIMITER = re.compile(r'multipart/mixed; boundary="(?P<boundary>[A-Za-z0-9]+)"')


async def open_stream(chat, query="", *headers):
    """Opens a stream; returns the client, the head and the delimiter line."""
    client = await chat.request(f"GET mxhrpoll?client_id=ann{query}", *headers)
    head = await read_head(client)
    boundary = DELIMITER.fullmatch(head.headers["content-type"])["boundary"]
    return client, head, f"--{boundary}\n".encode()


@pytest.mark.gen_test
async def test_head_and_first_boundary_come_at_once(chat):
    """The head and the first boundary of a stream arrive before an event is published."""
    client, head, delimiter = await open_stream(chat)
    assert head.line == "HTTP/1.1 200 OK"
    assert head.headers["transfer-encoding"] == "chunked"
    assert head.headers["connection"] == "close"
    assert head.headers["cache-control"] == "no-store, no-transform"
    assert head.headers["x-accel-buffering"] == "no"
    assert "content-length" not in head.headers
    assert "etag" not in head.headers
    assert await read_chunk(client) == delimiter


@pytest.mark.gen_test
async def test_each_event_is_a_part(chat):
    """Each event is a chunk: type, empty line, JSON and the next boundary, with LF only."""
    client, _, delimiter = await open_stream(chat)
    await read_chunk(client)
    for number in (1, 2):
        await chat.publish(number)
        body = b'{"n":%d}' % number
        part = b"Content-Type: application/json\n\n" + body + b"\n" + delimiter
        assert await read_chunk(client) == part


@pytest.mark.engines("memory", "sqlite")  # with Redis, the cursor comes later
@pytest.mark.gen_test
async def test_a_client_that_asks_gets_ids(chat):
    """With the parameter last_event_id, even an empty one, each part has the id of its event."""
    client, _, delimiter = await open_stream(chat, "&last_event_id=")
    await read_chunk(client)
    await chat.publish(1)
    cursor = chat.queue.cursor().encode()
    head = b"Content-Type: application/json\nLast-Event-ID: " + cursor
    assert await read_chunk(client) == head + b'\n\n{"n":1}\n' + delimiter


@pytest.mark.gen_test
async def test_backlog_then_news(chat):
    """A new stream begins with the backlog; its parts may share a chunk."""
    await chat.publish(1, 2)
    client, _, delimiter = await open_stream(chat)
    await chat.publish(3)
    body = b""
    while body.count(delimiter) < 4:
        body += await read_chunk(client)
    parts = [b'Content-Type: application/json\n\n{"n":%d}\n' % n for n in (1, 2, 3)]
    assert body == delimiter.join([b"", *parts, b""])


@pytest.mark.engines("memory", "sqlite")  # the test reads the log without a client
@pytest.mark.gen_test
async def test_a_cursor_skips_what_is_known(chat):
    """A client that reconnects with an id gets only the events after it."""
    await chat.publish(1, 2, 3)
    first = chat.queue.backlog_events[0].id
    client, _, delimiter = await open_stream(chat, f"&last_event_id={first}")
    body = b""
    while body.count(delimiter) < 3:
        body += await read_chunk(client)
    assert re.findall(rb'"n":(\d)', body) == [b"2", b"3"]


@pytest.mark.engines("memory", "sqlite")  # with Redis, the cursor comes later
@pytest.mark.gen_test
async def test_a_cursor_of_something_else_is_a_gap(chat):
    """A client with an invalid cursor gets a gap."""
    client, _, delimiter = await open_stream(chat, "&last_event_id=x")
    assert await read_chunk(client) == delimiter
    assert b'{"type":"gap","after":"0-0"' in await read_chunk(client)


@pytest.mark.gen_test
async def test_http_1_0_gets_the_bytes_as_they_are(chat, raw):
    """An HTTP/1.0 client gets the stream without chunks, up to the end of the connection."""
    client = await raw(chat.port)
    await client.send(
        b"GET /chat/room/mxhrpoll?client_id=ann HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    )
    head = await read_head(client)
    assert "transfer-encoding" not in head.headers
    assert head.headers.get("connection", "close").lower() == "close"
    boundary = DELIMITER.fullmatch(head.headers["content-type"])["boundary"]
    delimiter = f"--{boundary}\n".encode()
    assert await client.read_exactly(len(delimiter)) == delimiter
    await chat.publish(1)
    part = b'Content-Type: application/json\n\n{"n":1}\n' + delimiter
    assert await client.read_exactly(len(part)) == part
    chat.queue.disconnect()
    assert await client.read_all() == b""


@pytest.mark.gen_test
async def test_the_end_is_marked(chat):
    """When the server ends a stream, it sends the last chunk and closes the connection."""
    client, _, delimiter = await open_stream(chat)
    await read_chunk(client)
    await chat.publish(1)
    chat.queue.disconnect()
    part = b'Content-Type: application/json\n\n{"n":1}\n' + delimiter
    assert await read_chunk(client) == part
    assert await client.read_all() == b"0\r\n\r\n"


@pytest.mark.gen_test
async def test_a_second_stream_ends_the_first(chat):
    """A second stream with the same client id ends the first, and continues after its events."""
    first, _, delimiter = await open_stream(chat)
    await read_chunk(first)
    await chat.publish(1)
    second, _, _ = await open_stream(chat)
    body = b""
    while chunk := await read_chunk(first):
        body += chunk
    assert body == b'Content-Type: application/json\n\n{"n":1}\n' + delimiter
    assert await read_chunk(second) == delimiter
    await chat.publish(2)
    assert b'{"n":2}' in await read_chunk(second)


@pytest.mark.gen_test
async def test_without_an_id_it_is_somebody_new(chat):
    """Each stream without a client id is a separate client, and gets the event."""
    clients = [await chat.request("GET mxhrpoll") for _ in range(2)]
    await soon(lambda: len(chat.queue.clients) == 2)
    await chat.publish(1)
    for client in clients:
        await client.read_until(b'{"n":1}')


@pytest.mark.gen_test
async def test_head_is_answered_at_once(chat):
    """HEAD is answered with the stream's type and no body; the connection can be used again."""
    client = await chat.request("HEAD mxhrpoll?client_id=ann")
    reply = await read_reply(client, "HEAD")
    assert reply.status == 200
    assert DELIMITER.fullmatch(reply.headers["content-type"])
    assert "connection" not in reply.headers
    await iterations()
    assert "ann" not in chat.queue.clients
    await client.send(b"GET /chat/room HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert (await read_reply(client)).status == 200

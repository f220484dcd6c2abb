"""Long polls of the chat program, byte by byte where it matters."""

import asyncio
import json

import pytest
from support.wire import iterations, read_reply

from tatsumaki_py import MessageQueue


@pytest.mark.gen_test
async def test_an_answer_is_a_list_of_events(chat):
    """A waiting client gets a posted message as a list with one event; caches must not store it."""
    waiting = await chat.waiting("ann")
    await chat.post(text="hello", ident="me@x")
    reply = await read_reply(waiting)
    assert reply.line == "HTTP/1.1 200 OK"
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["content-length"] == str(len(reply.body))
    assert reply.headers["cache-control"] == "no-store"
    assert "etag" not in reply.headers
    (event,) = json.loads(reply.body)
    assert event["html"] == "hello"
    assert reply.headers["last-event-id"] == chat.queue.cursor()
    # The answer contains exactly the bytes of the event in the log.
    assert reply.body == b"[" + chat.queue.backlog_events[0].json + b"]"


@pytest.mark.gen_test
async def test_a_newcomer_gets_the_backlog(chat):
    """A new client gets the newest 30 events together, oldest first."""
    await chat.publish(*range(45))
    assert await chat.numbers(await chat.poll("ann")) == list(range(15, 45))


@pytest.mark.gen_test
async def test_one_who_is_known_gets_each_event_once(chat):
    """A client that polls again gets each event once, even those from between two polls."""
    await chat.publish(1)
    assert await chat.numbers(await chat.poll("ann")) == [1]
    await chat.publish(2, 3)
    assert await chat.numbers(await chat.poll("ann")) == [2, 3]
    waiting = await chat.waiting("ann")
    await chat.publish(4)
    assert await chat.numbers(waiting) == [4]


@pytest.mark.gen_test
async def test_a_connection_is_used_again(chat):
    """A client can poll again on the same connection."""
    client = await chat.waiting("ann")
    for number in range(3):
        await chat.publish(number)
        assert await chat.numbers(client) == [number]
        await client.send(b"GET /chat/room/poll?client_id=ann HTTP/1.1\r\nHost: x\r\n\r\n")
        await chat.listening("ann")


@pytest.mark.gen_test
async def test_nothing_in_time_is_an_empty_list(chat, clock):
    """A poll without events is answered with [] after 55 seconds."""
    waiting = await chat.waiting("ann")
    await clock.advance(54.5)
    assert chat.queue.clients["ann"].listener is not None
    await clock.advance(0.6)
    reply = await read_reply(waiting)
    assert (reply.status, reply.body) == (200, b"[]")
    assert reply.headers["last-event-id"] == chat.queue.cursor()


@pytest.mark.gen_test
async def test_a_second_poll_ends_the_first(chat):
    """A second poll of a client ends the first with an empty list, and gets the next event."""
    first = await chat.waiting("ann")
    second = await chat.poll("ann")
    assert await chat.events(first) == []
    await chat.publish(1)
    assert await chat.numbers(second) == [1]


@pytest.mark.parametrize("how", ["header", "parameter"])
@pytest.mark.gen_test
async def test_a_cursor_wins_over_the_memory(chat, how):
    """A client that sends an older cursor gets the events after the cursor again."""
    await chat.publish(1, 2, 3)
    client = await chat.poll("ann")
    reply = await read_reply(client)
    first = chat.queue.backlog_events[0].id
    if how == "header":
        again = await chat.poll("ann", f"Last-Event-ID: {first}")
    else:
        again = await chat.poll("ann", last_event_id=first)
    assert await chat.numbers(again) == [2, 3]
    assert reply.headers["last-event-id"] == chat.queue.cursor()


@pytest.mark.gen_test
async def test_a_cursor_that_is_too_old_is_told(chat):
    """A client whose cursor is too old gets a gap, then the events that are still kept."""
    # Kept here: no other code references the queue.
    queue = chat.queue
    queue.recovery_time = 0
    await chat.publish(*range(50))
    gap, *events = await chat.events(await chat.poll("ann", last_event_id="1-0"))
    assert (gap["type"], gap["after"]) == ("gap", "1-0")
    assert [event["n"] for event in events] == list(range(20, 50))


@pytest.mark.parametrize(
    "cursor", ["x", "1", "-1", "1-", "1-2-3", "\u0661-\u0660", "9" * 5000, "1-0\n"]
)
@pytest.mark.gen_test
async def test_a_cursor_of_something_else_is_a_gap(chat, cursor):
    """A client with an invalid cursor gets a gap, then the backlog."""
    await chat.publish(1)
    gap, event = await chat.events(await chat.poll("ann", last_event_id=cursor))
    assert (gap["type"], gap["after"], event["n"]) == ("gap", "0-0", 1)


@pytest.mark.parametrize("query", ["", "?client_id=", "?other=1"])
@pytest.mark.gen_test
async def test_a_client_id_is_needed(chat, query):
    """As in the original, a poll without a client id is answered with 500 and the reason."""
    reply = await read_reply(await chat.request(f"GET poll{query}"))
    assert reply.status == 500
    assert reply.headers["content-type"].startswith("text/plain")
    assert reply.body == b"'client_id' needed"


@pytest.mark.gen_test
async def test_dummy_is_everybody(chat):
    """Each request with the client id "dummy" is a separate anonymous client."""
    polls = [await chat.poll("dummy") for _ in range(3)]
    while len(chat.queue.clients) < 3:
        await asyncio.sleep(0.001)
    assert "dummy" not in chat.queue.clients
    await chat.publish(1)
    assert [await chat.numbers(poll) for poll in polls] == [[1], [1], [1]]


@pytest.mark.gen_test
async def test_a_client_id_is_text(chat):
    """Any text can be a client id, and rooms do not share clients."""
    for client_id in ("0", "\u2603 \U0001f600", "*", "a b", "x" * 1024, "nul\0"):
        await chat.publish(client_id)
        assert (await chat.numbers(await chat.poll(client_id)))[-1] == client_id
    MessageQueue.instance("other").publish({"n": 0})
    assert set(chat.queue.clients) == {"0", "\u2603 \U0001f600", "*", "a b", "x" * 1024, "nul\0"}


@pytest.mark.gen_test
async def test_head_is_answered_at_once(chat):
    """HEAD is answered immediately, and adds no client."""
    reply = await read_reply(await chat.request("HEAD poll?client_id=ann"), "HEAD")
    assert reply.status == 200
    await iterations()
    assert "ann" not in chat.queue.clients


@pytest.mark.gen_test
async def test_http_1_0_is_closed_after_the_answer(chat, raw):
    """An HTTP/1.0 client gets its events without chunks, and the connection is closed."""
    client = await raw(chat.port)
    await client.send(b"GET /chat/room/poll?client_id=ann HTTP/1.0\r\n\r\n")
    await chat.listening("ann")
    await chat.publish(1)
    head, body = (await client.read_all()).split(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"chunked" not in head
    assert body == b'[{"n":1}]'

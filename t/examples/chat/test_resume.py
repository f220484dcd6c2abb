"""Clients that leave and come back: they miss no event, and those that stay away are released."""

import asyncio
import gc
import json
import re
import weakref

import pytest
from support.wire import iterations, open_sockets, soon

from tatsumaki_py import MessageQueue
from tatsumaki_py.message_queue import timeouts

WAYS = ["close", "reset", "half_close"]


@pytest.fixture
def handlers(program, monkeypatch):
    """Weak references to the handlers that were made."""
    made = []
    for name in ("ChatPollHandler", "ChatMultipartPollHandler"):
        monkeypatch.setattr(
            getattr(program, name), "initialize", lambda self: made.append(weakref.ref(self))
        )
    return made


# -- long polls: no event is lost


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.gen_test
async def test_published_in_the_instant_it_leaves(chat, way):
    """A client gets an event that was published before the server noticed that it had left."""
    client = await chat.waiting("ann")
    getattr(client, way)()
    await chat.publish(1)
    await chat.absent("ann")
    await chat.publish(2)
    assert await chat.numbers(await chat.poll("ann")) == [1, 2]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.gen_test
async def test_published_while_it_is_away(chat, way):
    """A client that comes back gets the three events that were published while it was away."""
    client = await chat.waiting("ann")
    getattr(client, way)()
    await chat.absent("ann")
    await chat.publish(1, 2, 3)
    assert await chat.numbers(await chat.poll("ann")) == [1, 2, 3]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.gen_test
async def test_published_before_it_is_there(chat, way):
    """A client that leaves right after its request gets its event with the next poll."""
    await chat.publish(1)
    assert await chat.numbers(await chat.poll("ann")) == [1]
    await chat.publish(2)
    client = await chat.poll("ann")
    getattr(client, way)()
    await iterations(50)
    assert await chat.numbers(await chat.poll("ann")) == [2]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["poll", "mxhrpoll"])
@pytest.mark.gen_test
async def test_it_asks_and_is_gone(chat, handlers, kind, way):
    """Requests of clients that leave immediately are released, and the next poll gets the event."""
    clients = [await chat.request(f"GET {kind}?client_id=ann") for _ in range(3)]
    for client in clients:
        getattr(client, way)()
    await soon(lambda: len(handlers) == 3)
    await soon(lambda: not any(handler() for handler in handlers))
    await soon(lambda: not open_sockets(chat.port))
    await chat.publish(1)
    assert await chat.numbers(await chat.poll("ann")) == [1]


@pytest.mark.engines("memory", "sqlite")  # the test reads the log without a client
@pytest.mark.gen_test
async def test_it_comes_back_before_it_has_left(chat):
    """A new poll gets the events even if the server has not noticed the end of the old one."""
    start = chat.queue.cursor()
    old = await chat.waiting("ann")
    await chat.publish(1)
    old.close()
    new = await chat.poll("ann", last_event_id=start)
    assert await chat.numbers(new) == [1]
    new = await chat.waiting("ann")
    newer = await chat.waiting("ann")
    new.close()
    await chat.publish(2)
    assert await chat.numbers(newer) == [2]


@pytest.mark.gen_test
async def test_thirty_leave_at_once(chat):
    """Thirty clients that leave as an event is published get the event when they come back."""
    names = [f"c{number}" for number in range(30)]
    clients = [await chat.poll(name) for name in names]
    await chat.listening(*names)
    for number, client in enumerate(clients):
        getattr(client, WAYS[number % 3])()
    await chat.publish(1)
    await chat.absent(*names)
    await chat.publish(2)
    for name in names:
        assert await chat.numbers(await chat.poll(name)) == [1, 2]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "talk", [(b"x",), (b"x", b"y"), (b"", b"x" * 9000), (b"x" * 60_000, b"y" * 9000)]
)
@pytest.mark.gen_test
async def test_one_that_talks_on(chat, handlers, way, talk):
    """The server notices that a client has left even if it sent more after its request."""
    client = await chat.poll("ann")
    for data in talk:
        await client.send(data)
        await iterations()
    await chat.listening("ann")
    getattr(client, way)()
    await chat.publish(1)
    await chat.absent("ann")
    assert await chat.numbers(await chat.poll("ann")) == [1]


@pytest.mark.parametrize("way", ["close", "reset"])
@pytest.mark.gen_test
async def test_it_leaves_while_the_answer_is_written(small_buffers, chat, raw_small, way):
    """A client that leaves while its answer is written gets the events of the answer again."""
    client = await chat.waiting("ann", raw=raw_small)
    chat.queue.publish({"n": 1, "text": "x" * 900_000})
    await client.read_until(b"\r\n\r\n")
    getattr(client, way)()
    await asyncio.sleep(0.05)
    await chat.publish(2)
    assert await chat.numbers(await chat.poll("ann")) == [1, 2]


@pytest.mark.gen_test
async def test_a_slow_reader_gets_its_answer_once(small_buffers, chat, raw_small):
    """A client that reads its answer slowly gets the events of the answer only once."""
    client = await chat.waiting("ann", raw=raw_small)
    chat.queue.publish({"n": 1, "text": "x" * 300_000})
    await asyncio.sleep(0.05)
    await chat.publish(2)
    assert await chat.numbers(client) == [1]
    assert await chat.numbers(await chat.poll("ann")) == [2]


@pytest.mark.engines("memory")  # the clock is advanced
@pytest.mark.gen_test
async def test_thirty_seconds(chat, clock):
    """A client resumes within 30 seconds; later, it is a new client, which gets the backlog."""
    await chat.publish(*range(5))
    assert len(await chat.events(await chat.poll("ann"))) == 5
    await clock.advance(29)
    await chat.publish(5)
    assert await chat.numbers(await chat.poll("ann")) == [5]
    await asyncio.sleep(0.01)
    await clock.advance(31)
    assert "ann" not in chat.queue.clients
    assert await chat.numbers(await chat.poll("ann")) == list(range(6))


# -- streams: no event is lost


def received(data):
    """The numbers and ids of the complete parts in the bytes of a stream.

    The last chunk may be incomplete.
    """
    head, body = data.split(b"\r\n\r\n", 1)
    delimiter = b"--" + re.search(rb'boundary="(\w+)"', head)[1] + b"\n"
    stream = b""
    while b"\r\n" in body:
        size, body = body.split(b"\r\n", 1)
        stream += body[: int(size, 16)]
        body = body[int(size, 16) + 2 :]
    parts = stream.split(delimiter)[:-1]
    pairs = []
    for part in filter(None, parts):
        fields, event = part.split(b"\n\n")
        id = re.search(rb"Last-Event-ID: (\S+)", fields)
        pairs.append((json.loads(event)["n"], id and id[1].decode()))
    return pairs


async def keep_reading(client, enough):
    """Reads until `enough(data)` is true; returns all bytes so far."""
    while not enough(client._buffer):
        chunk = await client._receive()
        assert chunk, client._buffer[-200:]
        client._buffer += chunk
    return client._buffer


def opened(data):
    """Whether the head and the first boundary have arrived."""
    return b"\n\r\n" in data.partition(b"\r\n\r\n")[2]


def has(number):
    """A function that tells whether the part with this number has arrived."""
    return lambda data: opened(data) and number in [n for n, _ in received(data)]


async def stream(chat, query="", raw=None):
    return await chat.request(f"GET mxhrpoll?client_id=ann{query}", raw=raw)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("bursts", [0, 1, 2])
@pytest.mark.gen_test
async def test_what_a_stream_had_unsent_comes_again(
    small_buffers,
    chat,
    raw_small,
    sends,
    way,
    bursts,
):
    """A slow client that leaves gets, when it is back, the events that the kernel did not take."""
    count = 24  # not more than the backlog
    if bursts == 0:
        for number in range(count):
            chat.queue.publish({"n": number, "text": "x" * 10_000})
    client = await stream(chat, raw=raw_small)
    await chat.listening("ann")
    await keep_reading(client, opened if bursts else lambda data: data)
    port = client.sock.getsockname()[1]
    for burst in range(bursts):
        for number in range(burst * count // bursts, (burst + 1) * count // bursts):
            chat.queue.publish({"n": number, "text": "x" * 10_000})
        await asyncio.sleep(0.02)
    if bursts == 2:
        # The client reads until the first burst is sent; the kernel does not take the second.
        first = count // 2 * 10_000
        await keep_reading(client, lambda _: sum(sends[port]) > first + 3_000)
    getattr(client, way)()
    await chat.absent("ann")
    taken = sum(sends[port])
    assert taken < count * 10_000, "the test is useless: the kernel took everything"
    again = await stream(chat)
    await chat.publish("end")
    back = [number for number, _ in received(await keep_reading(again, has("end")))]
    assert back[-1] == "end"
    assert len(back) > 1, "all unsent events are lost"
    # The rest without a hole, beginning at or before the first event that was not sent completely.
    first_unsent = taken // 10_000 - 1
    assert back[0] <= first_unsent + 1
    assert back[:-1] == list(range(back[0], count))


@pytest.mark.engines("memory", "sqlite")  # with Redis, the cursor comes later
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.gen_test
async def test_a_cursor_makes_up_for_all(small_buffers, chat, raw_small, way):
    """A client that sends its cursor gets exactly the rest, whatever the kernel had taken."""
    client = await stream(chat, "&last_event_id=", raw=raw_small)
    await chat.listening("ann")
    for number in range(24):
        chat.queue.publish({"n": number, "text": "x" * 10_000})
    data = await keep_reading(client, lambda data: len(data) > 20_000)
    getattr(client, way)()
    await chat.absent("ann")
    before = received(data)
    assert before[0][0] == 0
    again = await stream(chat, f"&last_event_id={before[-1][1]}")
    data = await keep_reading(again, has(23))
    assert [n for n, _ in before] + [n for n, _ in received(data)] == list(range(24))


@pytest.mark.engines("memory", "sqlite")  # the test reads the log without a client
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.gen_test
async def test_a_stream_that_goes_before_the_backlog_is_sent(chat, way):
    """A client that leaves before its events are sent gets them with its next stream."""
    await chat.publish(1)
    (event,) = chat.queue.backlog_events
    client = await stream(chat, f"&last_event_id={event.id}")
    await chat.listening("ann")
    client.close()
    await chat.absent("ann")
    await chat.publish(2, 3)
    client = await stream(chat)
    getattr(client, way)()
    # The events come again, unless the kernel had taken them.
    await asyncio.sleep(0.03)
    await chat.absent("ann")
    unread = chat.queue.clients["ann"].cursor
    if unread == event.id:
        again = await stream(chat)
        await again.read_until(b'{"n":2}')
        await again.read_until(b'{"n":3}')
    else:
        assert unread == chat.queue.cursor()


# -- all clients are released


def waiting_polls():
    """The polls whose timeouts are still pending."""
    last = timeouts._last and timeouts._last()
    return [poll for bucket in last._buckets.values() for poll in bucket] if last else []


@pytest.mark.engines("memory")  # no event is published: the engine does not matter
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["poll", "mxhrpoll"])
@pytest.mark.parametrize("talk", [b"", b"GET / HTTP/1.1\r\n\r\n"])
@pytest.mark.gen_test
async def test_who_vanished_is_released(chat, handlers, way, kind, talk):
    """The handler, socket and timer of a client that left are released without the collector."""
    clients = [await chat.request(f"GET {kind}?client_id={name}") for name in "abc"]
    await chat.listening(*"abc")
    assert len(handlers) == open_sockets(chat.port) == 3
    assert len(waiting_polls()) == (3 if kind == "poll" else 0)
    gc.disable()
    try:
        for client in clients:
            if talk:
                await client.send(talk)
                await iterations(5)
            getattr(client, way)()
        await chat.absent(*"abc")
        await soon(lambda: not open_sockets(chat.port))
        assert waiting_polls() == []
        await soon(lambda: not any(handler() for handler in handlers))
    finally:
        gc.enable()


@pytest.mark.gen_test
async def test_a_room_that_all_left_is_forgotten(chat, clock):
    """A room is forgotten together with its client when the client does not come back in time."""
    for kind in ("poll", "mxhrpoll"):
        client = await chat.request(f"GET {kind}?client_id=ann")
        await chat.listening("ann")
        client.close()
        await chat.absent("ann")
        await clock.advance(31)
        assert len(chat.queue.clients) == 0
    gc.collect()
    assert [queue.channel for queue in MessageQueue.channels()] == []

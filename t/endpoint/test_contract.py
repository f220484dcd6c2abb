"""The guarantees that all transports share."""

import asyncio
import itertools

import pytest
from support.subscriber import CLIENTS, STREAMS
from support.wire import iterations, soon

from tatsumaki_py import MessageQueue, SubscribeHandler
from tatsumaki_py.http1.exchange import Exchange
from tatsumaki_py.testing import Ended


def numbered(*numbers):
    return [{"n": number} for number in numbers]


@pytest.mark.gen_test
async def test_order(subscriber, queue, transport):
    """Events arrive in the order in which they were published, one by one and in bursts."""
    client = subscriber(transport, cursor=queue.cursor())
    await client.start()
    number = itertools.count()
    for burst in (1, 3, 64, 1, 2):
        queue.publish(*numbered(*itertools.islice(number, burst)))
        await asyncio.sleep(0.002)
    assert await client.take(71) == numbered(*range(71))
    assert client.cursor == queue.cursor()


@pytest.mark.gen_test
async def test_a_newcomer(subscriber, queue, transport):
    """A client without a cursor gets the backlog."""
    await queue.publish(*numbered(*range(40)))
    client = subscriber(transport)
    await client.open()
    assert await client.take(30) == numbered(*range(10, 40))


@pytest.mark.gen_test
async def test_resume(subscriber, queue, transport):
    """A client that reconnects gets the events that it missed, and no event twice."""
    client = subscriber(transport, cursor=queue.cursor())
    for start in range(0, 40, 10):
        await client.start()
        queue.publish(*numbered(*range(start, start + 5)))
        expected = range(start - 5 if start else 0, start + 5)
        assert await client.take(len(expected)) == numbered(*expected)
        client.close()
        queue.publish(*numbered(*range(start + 5, start + 10)))


@pytest.mark.parametrize("after", CLIENTS)
@pytest.mark.gen_test
async def test_resume_across_transports(subscriber, queue, transport, after):
    """A client can resume over another transport with the same cursor."""
    first = subscriber(transport, cursor=queue.cursor())
    await first.start()
    queue.publish(*numbered(1, 2))
    assert await first.take(2) == numbered(1, 2)
    first.close()
    queue.publish(*numbered(3, 4))
    second = subscriber(after, cursor=first.cursor)
    await second.start()
    queue.publish({"n": 5})
    assert await second.take(3) == numbered(3, 4, 5)


@pytest.mark.gen_test
async def test_the_start_is_told(subscriber, queue, transport):
    """A client that gets no events learns its cursor when it connects."""
    await queue.publish({"n": 1})
    await queue.ready()
    client = subscriber(transport, cursor=queue.cursor(), timeout=0)
    await client.open()
    client.cursor = None
    if transport == "websocket":
        # A page cannot read the headers of a handshake.
        assert await client.step() is None
    elif client.streams:
        client.cursor = client.head.headers["last-event-id"]
    else:
        client.cursor = client.head.headers["last-event-id"]
        assert client.unread == []
    assert client.cursor == queue.cursor()


@pytest.mark.engines("memory", "sqlite")  # Redis may still have more
@pytest.mark.gen_test
async def test_gap(subscriber, queue, transport):
    """A cursor that is too old leads to a gap with a new cursor, followed by the events that are
    left.
    """
    queue.recovery_time = 0
    await queue.publish(*numbered(*range(40)))
    client = subscriber(transport, cursor="1-0")
    await client.open()
    gap = await client.next()
    assert (gap.gap, gap.data["after"]) == (True, "1-0")
    assert await client.take(30) == numbered(*range(10, 40))
    again = subscriber(transport, cursor=gap.data["id"])
    await again.open()
    assert await again.take(30) == numbered(*range(10, 40))


@pytest.mark.engines("memory")  # the clock is advanced
@pytest.mark.gen_test
async def test_heartbeat(subscriber, queue, clock, stream):
    """A stream without events sends heartbeats, and events still arrive after them."""
    client = subscriber(stream, cursor=queue.cursor())
    await client.open()
    await soon(lambda: len(queue.clients) == 1)
    for beats in (0, 1, 2):
        queue.publish({"n": beats})
        assert await client.take(1) == numbered(beats)
        assert client.heartbeats == beats
        await clock.advance(26)


@pytest.mark.engines("memory")  # the clock is advanced
@pytest.mark.parametrize("stream", ["sse", "websocket"])
@pytest.mark.gen_test
async def test_heartbeat_that_a_page_sees(subscriber, queue, clock, stream):
    """With `heartbeat=1`, a heartbeat is a message with the cursor instead of a comment or
    a ping.
    """
    client = subscriber(stream, cursor=queue.cursor(), heartbeat="1")
    await client.open()
    await soon(lambda: len(queue.clients) == 1)
    assert await client.step() is None  # the first cursor
    queue.publish({"n": 0})
    assert await client.take(1) == numbered(0)
    for _ in range(2):
        client.cursor = ""
        await clock.advance(26)
        assert await client.step() is None
        assert client.cursor == queue.cursor()
    assert client.heartbeats == 0


@pytest.mark.gen_test
async def test_slow_reader(subscriber, queue, handler, small_buffers, raw_small, stream):
    """A client that reads slowly is not disconnected: its stream reads on from the log."""
    handler.max_buffer = 100_000
    client = subscriber(stream, cursor=queue.cursor(), connect=raw_small)
    await client.open()
    await soon(lambda: len(queue.clients) == 1)
    expected = []
    for number in range(60):
        expected.append({"n": number, "text": "x" * 10_000})
        queue.publish(expected[-1])
        await iterations(10)
    assert await client.take(len(expected)) == expected


@pytest.mark.gen_test
async def test_vanished(subscriber, queue, transport):
    """The server notices a reset immediately, and keeps the client's place."""
    client = subscriber(transport, cursor=queue.cursor(), client_id="ann")
    if client.streams:
        await client.open()
    else:
        await client.request()
    await soon(lambda: "ann" in queue.clients)
    client.connection.reset()
    await soon(lambda: queue.clients["ann"].listener is None)
    queue.publish({"n": 1})
    client.cursor = None
    await client.open()
    assert await client.take(1) == numbered(1)


@pytest.mark.gen_test
async def test_lost_on_the_way(subscriber, queue, stream):
    """Events that the kernel took but the client did not receive are sent again after the
    cursor.
    """
    client = subscriber(stream, cursor=queue.cursor())
    await client.open()
    await soon(lambda: queue.subscribers)
    for start in range(0, 900, 100):
        queue.publish(*numbered(*range(start, start + 100)))
        await asyncio.sleep(0.006)
    assert await client.take(10) == numbered(*range(10))
    client.connection.reset()
    await soon(lambda: not queue.subscribers)
    await client.open()
    assert await client.take(890) == numbered(*range(10, 900))


@pytest.mark.engines("memory")  # the clock is advanced
@pytest.mark.gen_test
async def test_rotation(subscriber, queue, handler, clock, stream):
    """A stream ends normally at `max_stream_time`, and a client that reconnects misses no event."""
    handler.max_stream_time = 100.0
    client = subscriber(stream, cursor=queue.cursor())
    await client.open()
    await soon(lambda: len(queue.clients) == 1)
    queue.publish({"n": 1})
    assert await client.take(1) == numbered(1)
    await clock.advance(101)
    queue.publish({"n": 2})
    with pytest.raises(Ended) as ended:
        await client.take(5)
    assert ended.value.args == ((1001,) if stream == "websocket" else ())
    queue.publish({"n": 3})
    before = [] if client.cursor == queue.cursor() else numbered(2, 3)
    await client.open()
    assert await client.take(len(before) or 1) in (before, numbered(3))


@pytest.mark.parametrize("transport", [*STREAMS, "long-poll"])
@pytest.mark.gen_test
async def test_server_goes(subscriber, queue, transport):
    """When the server stops, streams and polls end normally."""
    client = subscriber(transport, cursor=queue.cursor())
    opened = asyncio.ensure_future(client.open())
    if client.streams:
        await opened
    await soon(lambda: len(queue.clients) == 1)
    queue.disconnect()
    if client.streams:
        with pytest.raises(Ended) as ended:
            await client.take(1)
        assert ended.value.args == ((1001,) if transport == "websocket" else ())
    else:
        assert (await opened).status == 200
        assert client.unread == []


TEXTS = [
    "",
    "h\u00e9llo \u2603 \U0001f600",
    "\n",
    "a\nb",
    "a\r\nb\rc\n\n",
    "\x85 \u2028 \u2029 \x0b \x0c \x1c \x1e \x00 \x7f",
    "data: x\n\nid: 9\n\n:",
    "</script><!--",
    '"\\',
    " leading and trailing ",
]


@pytest.mark.gen_test
async def test_text(subscriber, queue, transport):
    """Any Unicode text and every kind of newline arrive unchanged, in values and as keys."""
    client = subscriber(transport, cursor=queue.cursor())
    await client.start()
    events = [{"text": text, text: [text, {"deep": text}]} for text in TEXTS]
    queue.publish(*events)
    assert await client.take(len(events)) == events


@pytest.mark.gen_test
async def test_a_megabyte(subscriber, queue, transport):
    """An event of the maximum size arrives unchanged between small ones."""
    client = subscriber(transport, cursor=queue.cursor())
    await client.start()
    events = [{"n": 1}, {"text": "\u2603" * ((queue.max_event_size - 11) // 3)}, {"n": 2}]
    queue.publish(*events)
    assert await client.take(3) == events


@pytest.mark.gen_test
async def test_while_coming_and_going(subscriber, queue, transport):
    """Events that are published while a client connects or leaves arrive exactly once."""
    queue.buffer_length = 100_000
    queue.backlog_length = 100_000
    client = subscriber(transport, cursor=queue.cursor())
    done = False

    async def publish():
        for number in itertools.count():
            queue.publish({"n": number})
            if done:
                return number + 1
            await asyncio.sleep(0)

    publishing = asyncio.ensure_future(publish())
    got = []
    for turn in range(30):
        await client.open()
        for _ in range(turn % 4):
            got += await client.take(1)
        if not client.streams:
            # The client has received these messages, and its cursor is after them.
            got += [message.data for message in client.unread]
            client.unread.clear()
        if turn % 2:
            client.close()
        elif client.connection:
            client.connection.reset()
    done = True
    count = await publishing
    await client.open()
    got += await client.take(count - len(got))
    assert got == numbered(*range(count))


@pytest.mark.gen_test
async def test_many_at_once(subscriber, queue, transport):
    """Many clients on one transport get the same events."""
    clients = [subscriber(transport, cursor=queue.cursor()) for _ in range(20)]
    takes = []
    for client in clients:
        await client.start()
        takes.append(asyncio.ensure_future(client.take(50)))
    for number in range(50):
        queue.publish({"n": number})
        if number % 10 == 0:
            await asyncio.sleep(0.001)
    assert await asyncio.gather(*takes) == [numbered(*range(50))] * 20


@pytest.mark.gen_test
async def test_channels_are_apart(subscriber, queue, transport):
    """A client gets only the events of its own channel."""
    other = MessageQueue.instance("other")
    await other.ready()
    client = subscriber(transport, path="/events/other", cursor=other.cursor())
    await client.start()
    queue.publish({"n": 1})
    other.publish({"n": 2})
    queue.publish({"n": 3})
    other.publish({"n": 4})
    assert await client.take(2) == numbered(2, 4)


@pytest.mark.gen_test
async def test_long_polls_get_the_same_body(subscriber, queue, monkeypatch):
    """Clients that waited together get the same bytes; a later client gets its own."""
    bodies = []
    encode, send = SubscribeHandler._encode_json, Exchange.send_whole

    def note(self, chunk):
        bodies.append(encode(self, chunk))
        return bodies[-1]

    def note_whole(self, data):
        bodies.append(data.partition(b"\r\n\r\n")[2])
        return send(self, data)

    monkeypatch.setattr(SubscribeHandler, "_encode_json", note)
    monkeypatch.setattr(Exchange, "send_whole", note_whole)
    clients = [subscriber("long-poll", cursor=queue.cursor()) for _ in range(5)]
    opening = [asyncio.ensure_future(client.open()) for client in clients]
    await soon(lambda: queue.subscribers == 5)
    queue.publish(*numbered(1, 2))
    await asyncio.gather(*opening)
    assert len(bodies) == 5
    assert len(set(bodies)) == 1
    assert {tuple(message.data["n"] for message in client.unread) for client in clients} == {(1, 2)}
    queue.publish({"n": 3})
    late = subscriber("long-poll", cursor=clients[0].cursor)
    assert await late.take(1) == numbered(3)
    assert bodies[-1] == b'[{"n":3}]'


@pytest.mark.gen_test
async def test_the_end(subscriber, queue, stream):
    """A stream gets the end of its channel as the last event, and is finished."""
    client = subscriber(stream, cursor=queue.cursor())
    await client.start()
    queue.publish({"n": 1})
    await queue.end()
    assert await client.take(2) == [{"n": 1}, {"type": "end"}]
    with pytest.raises(Ended):
        await client.next()
    await soon(lambda: not queue.subscribers)
    assert queue.ended

"""Writers wait for slow subscribers; a subscriber with too much waiting data is disconnected."""

import asyncio
import json
import re

import pytest
from support.wire import iterations, read_chunk, read_head, soon

from tatsumaki_py.message_queue import State


def done(awaitable):
    """Whether the awaitable is done already."""
    return awaitable.done()


def cut_off(caplog):
    """The log lines about subscribers that were disconnected as too slow."""
    return [record.getMessage() for record in caplog.records if "cut off" in record.getMessage()]


@pytest.mark.gen_test
async def test_the_awaitable(small_buffers, get, raw_small):
    """The awaitable is done while the client keeps up; otherwise it waits until the data is
    sent.
    """
    client, handler = await get(connect=raw_small)
    assert done(handler.stream_write("a"))
    await read_head(client)
    await read_chunk(client)
    for _ in range(100):
        assert done(handler.stream_write("b"))
    pending = handler.stream_write("x" * 150_000)
    await asyncio.sleep(0.02)
    assert not done(pending)
    assert not done(handler.stream_write("c"))
    for _ in range(100):
        await read_chunk(client)
    assert await read_chunk(client) == b"x" * 150_000
    await asyncio.wait_for(pending, 1)
    assert await read_chunk(client) == b"c"
    assert done(handler.stream_write("d"))


@pytest.mark.gen_test
async def test_flush_waits_too(small_buffers, get, raw_small):
    """`await self.flush()` also waits for a slow client, as in Tornado."""
    client, handler = await get(connect=raw_small)
    handler.stream_write("x" * 150_000)
    await asyncio.sleep(0.01)
    flushed = handler.flush()
    await asyncio.sleep(0.01)
    assert not flushed.done()
    await read_head(client)
    await read_chunk(client)
    await asyncio.wait_for(flushed, 1)


@pytest.mark.gen_test
async def test_who_waits_is_released_when_it_goes(small_buffers, get, raw_small):
    """A write that waits for a client ends when the client leaves."""
    client, handler = await get(connect=raw_small)
    pending = asyncio.ensure_future(asyncio.wait_for(handler.stream_write("x" * 150_000), 2))
    await asyncio.sleep(0.01)
    assert not pending.done()
    client.reset()
    await pending


@pytest.mark.gen_test
async def test_a_callback_that_waits_is_not_hurried(small_buffers, get, raw_small, queue):
    """A waiting callback gets the next events, in order, only after its client has caught up."""
    client, handler = await get("/step?id=ann", connect=raw_small)
    for number in range(20):
        queue.publish({"n": number, "text": "x" * 60_000})
        await iterations(3)
    await asyncio.sleep(0.02)
    calls = len(handler.calls)
    assert calls < 5
    assert queue.clients["ann"].state is State.DELIVERING
    text = b""
    await read_head(client)
    while b'"n":19' not in text:
        text = text[-20:] + await read_chunk(client)
    await asyncio.sleep(0.01)
    assert [n for call in handler.calls for n in call] == list(range(20))
    assert queue.clients["ann"].state is State.LISTENING


def parts(data):
    """The number and the id of each complete part of a stream."""
    stream, body = b"", data.split(b"\r\n\r\n", 1)[1]
    while b"\r\n" in body:
        size, body = body.split(b"\r\n", 1)
        stream += body[: int(size, 16)]
        body = body[int(size, 16) + 2 :]
    found = re.findall(rb"Last-Event-ID: (\S+)\n\n(\{.*\})\n--", stream)
    return [(json.loads(event).get("n", "gap"), id.decode()) for id, event in found]


async def collect(client, last):
    """Read the parts of a stream up to the number `last`, or to its end."""
    data = b""
    while chunk := await client._receive():
        data += chunk
        if b'"n":%d,' % last in chunk + data[-70_000:] and parts(data)[-1][0] == last:
            break
    return parts(data)


# More than the backlog: a slow client can still get these events when it returns.
@pytest.mark.parametrize(("count", "size"), [(20, 30_000), (500, 1_500)])
@pytest.mark.gen_test
async def test_cut_off_and_resumed(small_buffers, get, raw_small, queue, caplog, count, size):
    """A client beyond `max_buffer` is disconnected with one log line; after it resumes, it has each
    event once.
    """
    caplog.set_level("INFO", "tatsumaki")
    start = queue.cursor()
    client, handler = await get("/room?id=ann&last_event_id=", connect=raw_small)
    await asyncio.sleep(0.01)
    for number in range(count):
        queue.publish({"n": number, "text": "x" * size})
        if number % 4 == 3:
            await iterations(10)
    await soon(lambda: handler.closed)
    assert handler.finished == 1
    assert len(cut_off(caplog)) == 1
    seen = await collect(client, -1)
    cursor = seen[-1][1] if seen else start
    client, _ = await get(f"/room?id=ann&last_event_id={cursor}&buffer=1000000")
    seen += await collect(client, count - 1)
    assert [number for number, _ in seen] == list(range(count))


@pytest.mark.gen_test
async def test_a_backlog_larger_than_the_buffer(small_buffers, get, raw_small, queue, caplog):
    """A client whose backlog exceeds `max_buffer` gets it at its own pace and stays connected."""
    caplog.set_level("INFO", "tatsumaki")
    for number in range(20):
        queue.publish({"n": number, "text": "x" * 30_000})
    client, handler = await get("/room?id=ann&last_event_id=", connect=raw_small)
    await asyncio.sleep(0.05)
    assert not handler.closed
    queue.publish({"n": 20, "text": ""})
    assert [number for number, _ in await collect(client, 20)] == list(range(21))
    assert not cut_off(caplog)


@pytest.mark.gen_test
async def test_cut_off_in_one_moment(small_buffers, get, raw_small, queue, caplog):
    """If all events are published at once, one line is logged, and other clients are not
    affected.
    """
    caplog.set_level("INFO", "tatsumaki")
    _, slow = await get("/room?id=slow", connect=raw_small)
    client, _ = await get("/room?id=quick&last_event_id=&buffer=1000000")
    await asyncio.sleep(0.01)
    for number in range(20):
        queue.publish({"n": number, "text": "x" * 30_000})
    await soon(lambda: slow.closed)
    assert len(cut_off(caplog)) == 1
    assert [number for number, _ in await collect(client, 19)] == list(range(20))


@pytest.mark.gen_test
async def test_one_write_that_is_larger_than_the_buffer(small_buffers, get, raw_small):
    """A client is not disconnected because of a single large write."""
    client, handler = await get(connect=raw_small)
    handler.stream_write("x" * 500_000)
    await read_head(client)
    assert await read_chunk(client) == b"x" * 500_000
    assert not handler.closed


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
@pytest.mark.gen_test
async def test_a_log_over_tls(small_buffers, get_tls, queue, version):
    """A slow stream that reads the log stays connected, even over TLS, and gets all events in
    order.
    """
    reader, _, handler = await get_tls("/log?id=ann", version=version)
    await asyncio.sleep(0.02)
    for number in range(100):
        queue.publish({"n": number, "text": "x" * 20_000})
        await iterations(number % 5)
    await soon(lambda: handler._stream.blocked)
    handler.stream_write("between")
    data = b""
    while data.count(b'{"n":') < 100 or b"between" not in data:
        data += await reader.read(65_536)
    assert [int(n) for n in re.findall(rb'{"n":(\d+)', data)] == [*range(100)]
    assert not handler.closed
    await soon(lambda: not handler._stream.tail.busy())
    assert queue.clients["ann"].cursor == queue.cursor()

"""Subscribers that do not keep up: pressure on who waits for them, an end for who does not."""

import asyncio
import json
import re

import pytest
from support.wire import iterations, read_chunk, read_head, soon

from tatsumaki_py.message_queue import State


def done(awaitable):
    """Whether there is nothing to wait for."""
    return awaitable.done()


def cut_off(caplog):
    """The log lines about subscribers that were cut off."""
    return [record.getMessage() for record in caplog.records if "cut off" in record.getMessage()]


@pytest.mark.gen_test
async def test_the_awaitable(small_buffers, get, raw_small):
    """Done at once while the peer keeps up, pending when it does not, done when it has drained."""
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
    """`await self.flush()` is pressure as well, as in Tornado."""
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
    """Nobody waits for ever for a peer that has gone."""
    client, handler = await get(connect=raw_small)
    pending = asyncio.ensure_future(asyncio.wait_for(handler.stream_write("x" * 150_000), 2))
    await asyncio.sleep(0.01)
    assert not pending.done()
    client.reset()
    await pending


@pytest.mark.gen_test
async def test_a_callback_that_waits_is_not_hurried(small_buffers, get, raw_small, queue):
    """It is not given the next events before the peer has drained; then all at once, in order."""
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
    """Number and id of each complete part in what came from a stream."""
    stream, body = b"", data.split(b"\r\n\r\n", 1)[1]
    while b"\r\n" in body:
        size, body = body.split(b"\r\n", 1)
        stream += body[: int(size, 16)]
        body = body[int(size, 16) + 2 :]
    found = re.findall(rb"Last-Event-ID: (\S+)\n\n(\{.*\})\n--", stream)
    return [(json.loads(event).get("n", "gap"), id.decode()) for id, event in found]


async def collect(client, last):
    """The parts of a stream up to the number `last`, or until it ends."""
    data = b""
    while chunk := await client._receive():
        data += chunk
        if b'"n":%d,' % last in chunk + data[-70_000:] and parts(data)[-1][0] == last:
            break
    return parts(data)


# More than the backlog: what waits for a slow reader is still to be had when it is back.
@pytest.mark.parametrize(("count", "size"), [(20, 30_000), (500, 1_500)])
@pytest.mark.gen_test
async def test_cut_off_and_resumed(small_buffers, get, raw_small, queue, caplog, count, size):
    """Beyond max_buffer the connection ends, one line says so; nothing is lost, nothing twice."""
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
    """Who comes for more than max_buffer gets it as fast as it reads, and is not cut off."""
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
    """Everything is published at once: one line all the same, and others are not disturbed."""
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
    """A single large write to a peer that reads is no reason to cut it off."""
    client, handler = await get(connect=raw_small)
    handler.stream_write("x" * 500_000)
    await read_head(client)
    assert await read_chunk(client) == b"x" * 500_000
    assert not handler.closed


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
@pytest.mark.gen_test
async def test_a_log_over_tls(small_buffers, get_tls, queue, version):
    """A stream that reads the log is not cut off, encrypted or not: it gets all, in order."""
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

"""Streams end after `max_stream_time`, and no event is lost or arrives twice."""

import asyncio
import re

import pytest
from support.pushing import Awaiting, Pushing, Subscribing
from support.wire import iterations, read_chunk, read_head, read_reply, soon

from tatsumaki_py import Application, Error, MessageQueue
from tatsumaki_py.push.wheel import Wheel


class Timed(Subscribing):
    max_stream_time = 100.0


class TimedRaw(Pushing):
    max_stream_time = 100.0


class Iterating(Pushing):
    asynchronous = False
    max_stream_time = 100.0

    async def get(self):
        self.multipart_xhr_push(True)
        self.pause = asyncio.Event()
        self.pause.set()
        async for events in MessageQueue.instance("room").poll(self.request.param("id")):
            for event in events:
                await self.pause.wait()
                await self.stream_write(event)
        self.returned = True


class Looping(Pushing):
    asynchronous = False
    max_stream_time = 100.0

    async def get(self):
        self.error = None
        try:
            while True:
                await self.stream_write("x")
                await asyncio.sleep(1)
        except Error.ClientDisconnect as error:
            self.error = error
            raise


class Failing(Timed):
    def on_finish(self):
        super().on_finish()
        raise KeyError("on_finish")


class Stepping(Awaiting):
    max_stream_time = 100.0


@pytest.fixture
def app(made):
    kinds = (Timed, TimedRaw, Iterating, Looping, Failing, Stepping)
    return Application([(f"/{kind.__name__}", kind, {"made": made}) for kind in kinds])


async def bodies(client):
    """Read the JSON of a stream to its end, which must be marked."""
    return re.findall(rb"\n\n(\{.*?\})\n--", (await read_reply(client)).body)


@pytest.mark.parametrize("kind", ["Timed", "Iterating", "Stepping"])
@pytest.mark.gen_test
async def test_after_a_time(get, clock, queue, access_log, kind):
    """A stream ends after 90 to 100 % of its time, as with `finish`; its client keeps its place."""
    client, handler = await get(f"/{kind}?id=ann")
    await clock.advance(89)
    queue.publish({"n": 1})
    await iterations()
    assert handler.finished == 0
    await clock.advance(12)
    assert (handler.finished, handler.closed, len(access_log())) == (1, 0, 1)
    queue.publish({"n": 2})
    assert await bodies(client) == [b'{"n":1}']
    if kind == "Iterating":
        await soon(lambda: handler.returned)
    # The client sends no cursor: the queue knows its place.
    client, handler = await get(f"/{kind}?id=ann")
    queue.publish({"n": 3})
    await iterations()
    handler.finish()
    assert await bodies(client) == [b'{"n":2}', b'{"n":3}']


@pytest.mark.gen_test
async def test_not_in_the_middle_of_a_delivery(get, clock, queue):
    """A coroutine writes the events that it has received before its stream ends."""
    client, handler = await get("/Iterating?id=ann")
    handler.pause.clear()
    queue.publish({"n": 1}, {"n": 2}, {"n": 3})
    await clock.advance(101)
    assert handler.finished == 0
    handler.pause.set()
    await iterations()
    await clock.advance(0.5)
    assert handler.finished == 1
    assert await bodies(client) == [b'{"n":1}', b'{"n":2}', b'{"n":3}']
    assert queue.clients["ann"].cursor == queue.cursor()


@pytest.mark.gen_test
async def test_not_before_all_is_sent(small_buffers, get, raw_small, clock, queue):
    """A slow client gets all events before its stream ends."""
    client, handler = await get("/Timed?id=ann", connect=raw_small)
    queue.publish({"text": "x" * 100_000})
    await asyncio.sleep(0.02)
    await clock.advance(101)
    await clock.advance(40)
    assert handler.finished == 0
    await read_head(client)
    await read_chunk(client)
    assert len(await read_chunk(client)) > 100_000
    await soon(lambda: handler._stream.waiting is None)
    await clock.advance(0.5)
    assert handler.finished == 1
    assert await client.read_all() == b"0\r\n\r\n"


@pytest.mark.gen_test
async def test_a_loop_that_writes(get, clock):
    """A loop that writes gets a `ClientDisconnect`, which is not logged."""
    client, handler = await get("/Looping")
    await clock.advance(101)
    await clock.advance(1)
    await soon(lambda: handler.error)
    assert (handler.finished, handler.closed) == (1, 0)
    assert set((await read_reply(client)).body) == set(b"x")


@pytest.mark.gen_test
async def test_raw(get, clock):
    """Writing to an ended stream without a queue raises `ClientDisconnect`."""
    client, handler = await get("/TimedRaw")
    handler.stream_write("a")
    await clock.advance(101)
    with pytest.raises(Error.ClientDisconnect):
        handler.stream_write("b")
    handler.write("c")
    handler.finish()
    assert (handler.finished, handler.closed) == (1, 0)
    assert (await read_reply(client)).body == b"a"


@pytest.mark.gen_test
async def test_an_error_hurts_nobody(get, clock, expect_log):
    """An exception in `on_finish` is logged, and the other streams still end."""
    kinds = ("Failing", "Timed", "Failing", "Timed")
    clients = [await get(f"/{kind}?id={number}") for number, kind in enumerate(kinds)]
    with expect_log("tornado.application", "Uncaught exception") as records:
        await clock.advance(101)
    assert len(records) == 2
    for client, handler in clients:
        await read_reply(client)
        assert handler.finished == 1


@pytest.mark.gen_test
async def test_who_is_gone(get, clock):
    """A stream that ended before its time leaves the wheel within a minute."""
    client, handler = await get("/Timed?id=ann")
    client.close()
    await soon(lambda: handler.closed)
    await clock.advance(61)
    assert Wheel.current()._buckets == {}
    assert handler.finished == 1

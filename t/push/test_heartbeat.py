"""Heartbeats on a stream without events."""

import asyncio
import json

import pytest
from support.pushing import Awaiting, Pushing, Subscribing
from support.wire import iterations, read_chunk, read_head, soon

from tatsumaki_py import Application, MessageQueue
from tatsumaki_py.push.framing.multipart import Multipart
from tatsumaki_py.push.wheel import Wheel

BEAT = b"Content-Type: application/x-heartbeat\n\n\n--" + Multipart.boundary.encode() + b"\n"


class Quick(Subscribing):
    heartbeat_interval = 5.0


class Lines(Subscribing):
    heartbeat_interval = 5.0

    def get(self):
        self.json_lines(True)
        for channel in self.get_arguments("channel"):
            MessageQueue.instance(channel).poll(None, self.on_event)

    async def on_event(self, *events):
        super().on_event(*events)
        await self.step.wait()


class Silent(Subscribing):
    heartbeat_interval = None


@pytest.fixture
def app(made):
    rules = {
        "/": Pushing,
        "/room": Subscribing,
        "/quick": Quick,
        "/silent": Silent,
        "/lines": Lines,
    }
    rules["/step"] = Awaiting
    return Application([(path, handler, {"made": made}) for path, handler in rules.items()])


@pytest.fixture
def subscribe(get):
    """Return a client that has read the beginning of its stream."""

    async def subscribe(path, **options):
        client, handler = await get(path, **options)
        await read_head(client)
        await read_chunk(client)
        return client, handler

    return subscribe


@pytest.mark.parametrize("path", ["/room?id=a", "/step?id=a"])
@pytest.mark.gen_test
async def test_beats(subscribe, clock, sends, path):
    """A heartbeat is sent after 20 to 25 s: a whole part in a single chunk and a single send."""
    client, _ = await subscribe(path)
    sends.clear()
    await clock.advance(19.5)
    assert sends == {}
    await clock.advance(6)
    assert await read_chunk(client) == BEAT
    await clock.advance(19.5)
    await clock.advance(6)
    assert await read_chunk(client) == BEAT
    assert [len(sizes) for sizes in sends.values()] == [2]


@pytest.mark.gen_test
async def test_between_events(subscribe, clock, queue):
    """Events and heartbeats are not mixed."""
    client, _ = await subscribe("/room?id=a")
    for number in range(3):
        await clock.advance(26)
        queue.publish({"n": number})
        assert await read_chunk(client) == BEAT
        assert b'{"n":%d}' % number in await read_chunk(client)


@pytest.mark.gen_test
async def test_each_class_has_its_interval(subscribe, clock, sends):
    """A class, or a single handler, can set its own interval."""
    await subscribe("/silent?id=a")
    quick, handler = await subscribe("/quick?id=b")
    sends.clear()
    await clock.advance(5.5)
    assert await read_chunk(quick) == BEAT
    assert [len(sizes) for sizes in sends.values()] == [1]
    handler.heartbeat_interval = 0
    await clock.advance(5.5)
    assert await read_chunk(quick) == BEAT
    sends.clear()
    await clock.advance(100)
    assert sends == {}
    assert Wheel.current()._buckets == {}


async def beat_of_lines(client, clock):
    await clock.advance(5.5)
    return json.loads(await read_chunk(client))["id"]


@pytest.mark.gen_test
async def test_lines_say_the_cursor(get, clock, queue):
    """In JSON lines, a heartbeat contains the client's current cursor."""
    client, handler = await get("/lines?channel=room")
    handler.step = asyncio.Event()
    await read_head(client)
    assert await beat_of_lines(client, clock) == queue.cursor()
    queue.publish({"n": 1})
    assert json.loads(await read_chunk(client)) == {"id": queue.cursor(), "data": {"n": 1}}
    # The callback has not returned yet: it may still write more for the client.
    assert await beat_of_lines(client, clock) == ""
    handler.step.set()
    await iterations()
    assert await beat_of_lines(client, clock) == queue.cursor()


@pytest.mark.parametrize("path", ["/lines", "/lines?channel=room&channel=hall"])
@pytest.mark.gen_test
async def test_lines_say_no_cursor(get, clock, path):
    """If a stream serves no queue, or two queues, its heartbeats contain no cursor."""
    client, _ = await get(path)
    await read_head(client)
    assert await beat_of_lines(client, clock) == ""


@pytest.mark.gen_test
async def test_none_without_a_form(get, clock, sends):
    """A stream of plain bytes has no heartbeats."""
    client, handler = await get()
    handler.stream_write("a")
    await read_head(client)
    await read_chunk(client)
    sends.clear()
    await clock.advance(100)
    assert sends == {}
    assert Wheel.current()._buckets == {}


@pytest.mark.gen_test
async def test_none_for_who_does_not_keep_up(small_buffers, subscribe, raw_small, clock):
    """Heartbeats do not pile up for a client that does not read, and resume afterwards."""
    client, handler = await subscribe("/quick?id=a", connect=raw_small)
    handler.stream_write("x" * 100_000)
    await asyncio.sleep(0.02)
    for _ in range(20):
        await clock.advance(6)
    assert b"x" * 100_000 in await read_chunk(client)
    await soon(lambda: handler._stream.waiting is None)
    await clock.advance(6)
    assert await read_chunk(client) == BEAT
    # This was the only heartbeat.
    await iterations()
    assert client._buffer == b""


@pytest.mark.gen_test
async def test_who_is_gone(subscribe, clock, access_log):
    """An ended stream leaves the wheel; a stream that turns out to be dead is logged once."""
    _, finished = await subscribe("/room?id=a")
    finished.finish()
    client, handler = await subscribe("/room?id=b")
    client.reset()
    await clock.advance(26)
    await soon(lambda: handler.closed)
    await clock.advance(26)
    assert Wheel.current()._buckets == {}
    assert (finished.finished, handler.finished, handler.closed) == (1, 1, 1)
    assert len(access_log()) == 2


@pytest.mark.gen_test
async def test_over_tls(get_tls, clock):
    """Heartbeats are sent over TLS."""
    reader, _, _ = await get_tls("/quick?id=a")
    await reader.readuntil(b"\r\n\r\n")
    await asyncio.sleep(0.02)
    await clock.advance(6)
    await reader.readuntil(BEAT)

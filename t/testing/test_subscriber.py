"""The client for tests reads, reconnects and waits as documented, and leaves nothing behind."""

import asyncio
import gc
import socket
import time
from contextlib import suppress
from functools import partial

import pytest
from support.wire import open_sockets, soon

from tatsumaki_py import MessageQueue
from tatsumaki_py.testing import BadAnswer, Connection, Refused, Subscriber, until
from tatsumaki_py.testing.readers import READERS


async def read_one(client):
    await client.start()
    await client.next()


class Slow(Connection):
    """A connection that receives a few bytes at a time."""

    async def _receive(self):
        await asyncio.sleep(0.0005)
        return await asyncio.get_running_loop().sock_recv(self.sock, 30)


async def slow(port):
    return await Slow.connect(port)


async def fail(client):
    async with client.follow():
        await asyncio.sleep(0.01)
        raise ZeroDivisionError


@pytest.mark.parametrize("transport", READERS)
@pytest.mark.gen_test
async def test_every_transport(url, queue, transport):
    """Events of any kind arrive with their cursor, and the next transport resumes after it."""
    events = [{"n": 1}, "text", None, [1, {"é": "\n"}], {"channel": "a", "data": 1}, 5]
    async with Subscriber(url, transport, cursor=queue.cursor()) as client:
        queue.publish(*events)
        assert await client.take(len(events)) == events
        assert client.cursor == queue.cursor()
        for other in READERS:
            await client.reconnect(other)
            queue.publish(other)
            assert (await client.next()).data == other
    assert [one.transport for one in client.connections] == [transport, *READERS]
    assert [one.end for one in client.connections] == ["closed by the client"] * 7


@pytest.mark.gen_test
async def test_several_channels(http_server, base_url):
    """A message has the name of its channel, in streams and polls."""
    params = {"channel": ["a", "b"]}
    async with Subscriber(f"{base_url}/events", params=params) as client:
        for transport in READERS:
            await client.reconnect(transport)
            for name in "ab":
                MessageQueue.instance(name).publish(transport)
                message = await client.next()
                assert (message.channel, message.data) == (name, transport)
        await client.assert_delivered(READERS, channel="a", allow_gap=False)
    async with Subscriber(f"{base_url}/events", params=params, cursor="1-1") as lost:
        # Each of the two channels has a gap.
        for name in "ab":
            await lost.assert_delivered(["before", *READERS], channel=name)


@pytest.mark.gen_test
async def test_a_gap(url, queue):
    """A gap is a message, and is followed by the events that are left."""
    queue.publish("newest")
    async with Subscriber(url, cursor="1-1") as client:
        gap = await client.next()
        assert (gap.gap, gap.data["after"]) == (True, "1-1")
        assert (await client.next()).data == "newest"


@pytest.mark.gen_test
async def test_text(http_server, base_url):
    """Data that is not JSON is text; the iteration ends with the stream."""
    async with Subscriber(f"{base_url}/text") as client:
        assert [message.data async for message in client] == ["not {json}", 5]
    assert client.connections[0].end == "ended by the server"


@pytest.mark.gen_test
async def test_refused(http_server, base_url, refusing):
    """The exception contains the status and the reason, for streams, polls and iterations."""
    for transport in ("sse", "long-poll", "websocket"):
        client = Subscriber(f"{base_url}/refusing/room", transport)
        with pytest.raises(Refused, match=r"HTTP/1\.1 403 Forbidden: not now") as refused:
            await read_one(client)
        assert refused.value.reply.status == 403
        client.close()
    assert (await client.open()).status == 403
    with pytest.raises(RuntimeError, match="has no events"):
        await client.next()
    await client.aclose()


@pytest.mark.gen_test
async def test_what_is_wrong(http_server, base_url, url):
    """Mistakes of the test and of the server raise exceptions that name them."""
    with pytest.raises(ValueError, match=r"transport must be one of sse, websocket, .*, not 'sms'"):
        Subscriber(url, "sms")
    with pytest.raises(ValueError, match="must begin with http://, not 'ws://a/b'"):
        await Subscriber("ws://a/b").start()
    with pytest.raises(RuntimeError, match=r"is not connected: use `async with`, or start\(\)"):
        await Subscriber(url).next()
    async with Subscriber(f"{base_url}/broken", "ndjson") as client:
        with pytest.raises(BadAnswer, match="in the middle of a message: b'half a li'"):
            await client.next()
    async with Subscriber(url).follow() as client:
        with pytest.raises(RuntimeError, match="is already following"):
            client.follow()


@pytest.mark.gen_test
async def test_patience(url, queue):
    """A missing message fails the test with a report; advancing the clock does not."""
    queue.publish("one")
    async with Subscriber(url, timeout=0.05) as client:
        await client.take(1)
        began = time.monotonic()
        with pytest.raises(AssertionError) as late:
            await client.take(2)
        with pytest.raises(AssertionError, match=r"no message came within 0\.02 s\n"):
            await client.next(0.02)
        assert 0.07 < time.monotonic() - began < 2
    first, which, connection = str(late.value).split("\n")
    assert first == "0 of 2 messages came within 0.05 s"
    assert which == f"of <Subscriber sse {url} {{}}>"
    end = f"1 message, the last one with id {client.cursor}; open"
    assert connection == f"  connection 1 (sse, new): {end}"


@pytest.mark.gen_test
async def test_a_server_that_does_not_answer(url, http_port, proxy):
    """If the server does not answer, `start` fails like `next`, and leaves no socket open."""
    proxy.silent = True
    async with Subscriber(url, timeout=0.05) as client:
        client.url = url.replace(f":{http_port}/", f":{proxy.port}/")
        for again in (client.start, client.reconnect):
            with pytest.raises(AssertionError, match=r"^no answer came within 0\.05 s\nof <Subsc"):
                await again()
            assert client.connection is None


@pytest.mark.parametrize("transport", [name for name in READERS if READERS[name].streams])
@pytest.mark.gen_test
async def test_a_timeout_in_the_middle_of_a_message(url, queue, http_port, transport):
    """A timeout in the middle of a message loses nothing: `next` may be called again."""
    events = [{"n": number, "text": "x" * 200} for number in range(3)]
    messages, late = [], 0
    async with Subscriber(url, transport, connect=partial(slow, http_port)) as client:
        queue.publish(*events)
        while len(messages) < len(events):
            with suppress(AssertionError):
                late += 1
                messages.append((await client.next(0.003)).data)
    assert messages == events
    assert late > 6


@pytest.mark.gen_test
async def test_real_time(url, queue, clock):
    """Timeouts are in real time, even if the test advances the clock."""
    async with Subscriber(url, timeout=1) as client:
        reading = asyncio.ensure_future(client.next())
        await clock.advance(20)
        queue.publish("late")
        assert (await reading).data == "late"


@pytest.mark.parametrize("transport", READERS)
@pytest.mark.gen_test
async def test_follow(url, queue, proxy, transport):
    """`follow` reconnects after each end, and gets each event once."""
    here = url.replace(url.split("/")[2], f"127.0.0.1:{proxy.port}")
    published = []
    async with Subscriber(here, transport).follow() as client:
        for number in range(6):
            published.append({"n": number, "text": "x" * 2000})
            queue.publish(published[-1])
            await client.until(lambda client: len(client.messages) == len(published))
            proxy.cut() if number % 2 else queue.disconnect()
        await client.assert_delivered(published, allow_gap=False)
    assert client.transport == transport


@pytest.mark.gen_test
async def test_follow_and_next(url, queue):
    """`next` returns the messages that the task has read, in order; an iteration waits for more."""
    async with Subscriber(url, ["ndjson", "long-poll"]).follow() as client:
        queue.publish("a", "b")
        await client.until(lambda client: len(client.messages) == 2)
        assert await client.take(2) == ["a", "b"]
        await client.reconnect()
        assert client.transports == ("ndjson", "long-poll")
        queue.publish("c")
        async for message in client:
            assert message.data == "c"
            break
    assert [one.transport for one in client.connections] == ["ndjson", "long-poll"]


@pytest.mark.gen_test
async def test_a_refusal_ends_it(http_server, base_url, refusing):
    """A permanent refusal ends `follow`; a temporary error of the server does not."""
    refusing.status = 503
    client = Subscriber(f"{base_url}/refusing/room", ["ndjson", "long-poll"]).follow(0)
    await client.until(lambda client: len(client.refusals) > 3)
    assert {reply.status for reply in client.refusals} == {503}
    refusing.status = 403
    with pytest.raises(Refused, match="403"):
        await client.next()
    with pytest.raises(Refused, match="403"):
        await client.aclose()
    assert open_sockets(int(base_url.split(":")[2])) == 0


@pytest.mark.gen_test
async def test_an_async_condition(url, queue):
    """`until` refuses a coroutine, which would always be true."""

    async def condition(*args):
        return False

    with pytest.raises(TypeError, match="is async: give a plain function, and await in the test"):
        await until(condition)
    async with Subscriber(url).follow() as client:
        with pytest.raises(TypeError, match="is async"):
            await client.until(condition)
        with pytest.raises(TypeError, match="is async"):
            await client.until(lambda client: client.next())


@pytest.mark.gen_test
async def test_nothing_is_left(url, queue, http_port):
    """A client leaves no task, no socket and no client of the queue, however it was used."""
    before = asyncio.all_tasks()
    for transport in READERS:
        async with Subscriber(url, transport):
            pass
        async with Subscriber(url, transport) as client:
            client.follow()
            await asyncio.sleep(0)
        with pytest.raises(ZeroDivisionError):
            await fail(Subscriber(url, transport))
        async with Subscriber(url, transport) as client:
            reading = asyncio.ensure_future(client.next())
            await asyncio.sleep(0.01)
            reading.cancel()
            await asyncio.wait([reading])
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionRefusedError):
            await Subscriber(f"http://127.0.0.1:{closed.getsockname()[1]}").start()
    # A ResourceWarning would fail the test.
    gc.collect()
    assert not [task for task in asyncio.all_tasks() - before if "Subscriber" in repr(task)]
    await soon(lambda: open_sockets(http_port) == 0)
    await soon(lambda: queue.subscribers == 0)


@pytest.mark.gen_test
async def test_leaving_with_rst(url, queue):
    """For the server, `reset` is a lost connection."""
    async with Subscriber(url, "sse", client_id="ann") as ann:
        queue.publish("one")
        await ann.take(1)
        queue.publish("two")
        await asyncio.sleep(0.02)
        ann.close(reset=True)
        await soon(lambda: queue.clients["ann"].listener is None)
        ann.cursor = None
        await ann.start()
        # Nothing confirms that the client has the first event.
        assert await ann.take(2) == ["one", "two"]


@pytest.mark.parametrize("stream", ["sse", "websocket"])
@pytest.mark.gen_test
async def test_a_frozen_client(url, queue, stream):
    """A frozen client reads nothing until it is asked to; other clients do not wait for it."""
    events = [{"n": number, "text": "x" * 400_000} for number in range(14)]
    async with Subscriber(url, stream, receive_buffer=4096) as frozen, Subscriber(url) as quick:
        for event in events:
            queue.publish(event)
            assert await quick.take(1) == [event]
        assert not frozen.messages
        await frozen.assert_delivered(events, allow_gap=False)


@pytest.mark.parametrize(("tornado", "ours"), [("5", 4), ("30", 10)])
def test_it_waits_for_less_time_than_tornado(url, monkeypatch, tornado, ours):
    """The test fails with the client's list of connections before Tornado ends the test."""
    monkeypatch.setenv("ASYNC_TEST_TIMEOUT", tornado)
    assert Subscriber(url).timeout == ours

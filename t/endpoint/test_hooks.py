"""Each hook is called once per subscriber, whatever the transport and however its
connection ends.
"""

import asyncio

import pytest
from support.subscriber import CLIENTS, STREAMS
from support.wire import iterations, soon

from tatsumaki_py import Application, MessageQueue, SubscribeHandler

calls = []


class Hooked(SubscribeHandler):
    """Hooks that are plain functions or coroutines, as the test sets `later`."""

    max_stream_time = 100.0
    later = False

    def on_subscribe(self, channel):
        return self.note("+", channel)

    def on_unsubscribe(self, channel):
        return self.note("-", channel)

    def note(self, *call):
        if not self.later:
            calls.append(call)
            return None

        async def note():
            await asyncio.sleep(0)
            calls.append(call)

        return note()


class Slow(Hooked):
    go_on = None

    async def on_subscribe(self, channel):
        await Slow.go_on.wait()
        calls.append(("+", channel))


class Steps(Hooked):
    """Hooks that note when they begin and end, and wait in between if the test sets `stop`."""

    stop = ""
    go_on = None

    async def on_subscribe(self, channel):
        await self.step("+")

    async def on_unsubscribe(self, channel):
        await self.step("-")

    async def step(self, sign):
        number = self.request.param("n")
        calls.append(f"{sign}{number} begins")
        if sign == Steps.stop:
            await Steps.go_on.wait()
        calls.append(f"{sign}{number} ends")


class Failing(Hooked):
    def on_subscribe(self, channel):
        calls.append(("+", channel))
        raise ValueError("on purpose")

    async def on_unsubscribe(self, channel):
        calls.append(("-", channel))
        raise ValueError("on purpose")


@pytest.fixture(params=[False, True], ids=["sync", "async"], autouse=True)
def later(request, monkeypatch):
    calls.clear()
    monkeypatch.setattr(Hooked, "later", request.param)


@pytest.fixture
def app():
    rules = [(r"/events/([\w.-]+)", Hooked), (r"/events", Hooked)]
    rules += [("/slow/(.*)", Slow), ("/steps/(.*)", Steps), ("/failing/(.*)", Failing)]
    return Application(rules)


async def come(client, queue):
    """Connect, without waiting for the answer to a long poll."""
    before = queue.subscribers
    opening = asyncio.ensure_future(client.open())
    await soon(lambda: queue.subscribers > before)
    if client.streams:
        await opening
    return opening


ONCE = [("+", "room"), ("-", "room")]


@pytest.mark.parametrize("name", ["ann", None])
@pytest.mark.parametrize("transport", [*STREAMS, "long-poll"])
@pytest.mark.gen_test
async def test_who_leaves(subscriber, queue, transport, name):
    """A client that closes its connection leaves immediately."""
    client = subscriber(transport, client_id=name or "")
    opening = await come(client, queue)
    await soon(lambda: calls == ONCE[:1])
    assert queue.subscribers == 1
    opening.cancel()
    await iterations()
    client.connection.reset()
    await soon(lambda: calls == ONCE)
    assert queue.subscribers == 0


@pytest.mark.parametrize("transport", ["long-poll", "interval-poll"])
@pytest.mark.gen_test
async def test_who_asks_again(subscriber, queue, clock, transport):
    """A named client that polls stays one subscriber if it polls again in time."""
    client = subscriber(transport, client_id="ann")
    for number in range(4):
        queue.publish({"n": number})
        assert await client.take(1) == [{"n": number}]
        await clock.advance(29)
        assert queue.subscribers == 1
    await iterations()
    assert calls == ONCE[:1]
    await clock.advance(1.1)
    await iterations()
    assert calls == ONCE
    assert queue.subscribers == 0


@pytest.mark.gen_test
async def test_who_has_no_name(subscriber, queue):
    """Each long poll of an anonymous client is a separate subscriber."""
    queue.publish({"n": 1})
    client = subscriber("long-poll")
    await client.open()
    queue.publish({"n": 2})
    await client.open()
    await soon(lambda: calls == ONCE * 2)
    assert queue.subscribers == 0


@pytest.mark.gen_test
async def test_who_has_a_look(subscriber, queue):
    """An anonymous client that polls without waiting is not a subscriber."""
    queue.publish({"n": 1})
    client = subscriber("interval-poll")
    for _ in range(2):
        await client.open()
    await iterations()
    assert calls == []
    assert queue.subscribers == 0


@pytest.mark.gen_test
async def test_rotation(subscriber, queue, clock, stream):
    """A named client whose stream the server ends stays a subscriber if it reconnects."""
    client = subscriber(stream, client_id="ann", cursor=queue.cursor())
    await come(client, queue)
    await iterations()
    await clock.advance(101)
    await soon(lambda: queue.clients["ann"].listener is None)
    assert queue.subscribers == 1
    await client.open()
    await soon(lambda: queue.clients["ann"].listener is not None)
    await clock.advance(31)
    await iterations()
    assert (calls, queue.subscribers) == (ONCE[:1], 1)


@pytest.mark.gen_test
async def test_two_connections_with_one_name(subscriber, queue, stream):
    """A second connection with the same name takes over and is the same subscriber."""
    first = subscriber(stream, client_id="ann")
    second = subscriber("sse", client_id="ann")
    await come(first, queue)
    await second.open()
    await soon(lambda: queue.clients["ann"].listener is not None)
    first.close()
    await iterations()
    assert (calls, queue.subscribers) == (ONCE[:1], 1)
    second.close()
    await soon(lambda: calls == ONCE)


@pytest.mark.gen_test
async def test_each_channel(subscriber, stream):
    """The hooks are called once for each channel of the connection, and each channel counts the
    client.
    """
    client = subscriber(stream, path="/events", channel=["a", "b"])
    await client.open()
    both = MessageQueue.instance("a", "b")
    await soon(lambda: both.subscribers == 1 and len(calls) == 2)
    assert [MessageQueue.instance(name).subscribers for name in "ab"] == [1, 1]
    client.close()
    await soon(lambda: len(calls) == 4)
    assert calls == [("+", "a"), ("+", "b"), ("-", "a"), ("-", "b")]
    assert [MessageQueue.instance(name).subscribers for name in "ab"] == [0, 0]


@pytest.mark.gen_test
async def test_order(subscriber, queue, stream):
    """`on_unsubscribe` is called only after `on_subscribe` has finished."""
    Slow.go_on = asyncio.Event()
    client = subscriber(stream, path="/slow/room")
    await come(client, queue)
    client.close()
    await soon(lambda: queue.subscribers == 0)
    await iterations()
    assert calls == []
    Slow.go_on.set()
    await soon(lambda: calls == ONCE)


@pytest.mark.gen_test
async def test_order_over_requests(subscriber, queue, stream):
    """`on_unsubscribe` for a client's second request waits for `on_subscribe` of its first
    request.
    """
    Steps.stop, Steps.go_on = "+", asyncio.Event()
    queue.publish({"n": 1})
    first = subscriber("long-poll", path="/steps/room", client_id="ann", n=1)
    assert await first.take(1) == [{"n": 1}]
    second = subscriber(stream, path="/steps/room", client_id="ann", n=2)
    await second.open()
    await soon(lambda: queue.clients["ann"].listener is not None)
    second.close()
    await soon(lambda: queue.subscribers == 0)
    # Other clients do not wait.
    other = subscriber(stream, path="/steps/room", client_id="bob", n=3)
    await come(other, queue)
    await soon(lambda: calls == ["+1 begins", "+3 begins"])
    Steps.go_on.set()
    await soon(lambda: len(calls) == 6)
    ann = [call for call in calls if "3" not in call]
    assert ann == ["+1 begins", "+1 ends", "-2 begins", "-2 ends"]


@pytest.mark.gen_test
async def test_a_return_while_a_hook_runs(subscriber, queue, stream):
    """If a client returns while `on_unsubscribe` is running, `on_subscribe` is called
    afterwards.
    """
    Steps.stop, Steps.go_on = "-", asyncio.Event()
    first, second = (
        subscriber(stream, path="/steps/room", client_id="ann", n=number) for number in (1, 2)
    )
    await come(first, queue)
    await soon(lambda: len(calls) == 2)
    first.close()
    await soon(lambda: len(calls) == 3)
    await come(second, queue)
    await iterations()
    assert calls == ["+1 begins", "+1 ends", "-1 begins"]
    Steps.go_on.set()
    await soon(lambda: len(calls) == 6)
    assert calls[3:] == ["-1 ends", "+2 begins", "+2 ends"]
    assert queue.subscribers == 1


@pytest.mark.gen_test
async def test_mistakes(subscriber, queue, stream, expect_log):
    """An exception in a hook is logged, and the client is not affected."""
    client = subscriber(stream, path="/failing/room")
    with expect_log("tornado.application", "Uncaught exception") as records:
        await come(client, queue)
        queue.publish({"n": 1})
        assert await client.take(1) == [{"n": 1}]
        client.close()
        await soon(lambda: len(records) == 2)
    assert calls == ONCE


@pytest.mark.parametrize("transport", CLIENTS)
@pytest.mark.gen_test
async def test_refused(subscriber, transport, monkeypatch):
    """No hook is called for a refused client."""
    monkeypatch.setattr(MessageQueue, "max_clients", 0)
    head = await subscriber(transport).open()
    assert head.status == (101 if transport == "websocket" else 503)
    await iterations()
    assert calls == []


@pytest.mark.gen_test
async def test_the_server_goes(subscriber, queue, clock, stream):
    """When the server stops, an anonymous client leaves, but a named one may still reconnect."""
    clients = [subscriber(stream, client_id=name) for name in ("ann", "")]
    for client in clients:
        await come(client, queue)
    await soon(lambda: len(calls) == 2)
    queue.disconnect()
    await soon(lambda: len(calls) == 3)
    assert queue.subscribers == 1
    await clock.advance(31)
    await soon(lambda: len(calls) == 4)
    assert queue.subscribers == 0

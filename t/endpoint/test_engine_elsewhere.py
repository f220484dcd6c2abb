"""With an engine that answers later, the streams are those of the in-memory engine."""

import asyncio
import json

import pytest
from support.answers import until
from support.delayed import Delayed

from tatsumaki_py import Error, MessageQueue


@pytest.fixture
def engine(io_loop):
    """An engine that answers each request later."""
    engine = Delayed()
    MessageQueue.configure(engine)
    yield engine

    async def end():
        MessageQueue.reset()
        await engine.close()

    io_loop.run_sync(end)


@pytest.fixture
def queue(engine):
    """The queue of the channel "room"."""
    return MessageQueue.instance("room")


async def sse(ask, query="", path="/events/room", *headers):
    """Open an event stream and read its head."""
    client = await ask(f"GET {path}?{query}", "Accept: text/event-stream", *headers)
    assert (await client.read_until(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    return client


async def said(client, last):
    """Read the events of a stream, up to the one with this number."""
    seen = []
    while seen[-1:] != [last]:
        message = await client.read_until(b"\n\n")
        for line in message.decode().splitlines():
            if line.startswith("data: {"):
                data = json.loads(line[6:])
                data = data.get("data", data)
                gap = data.get("type") == "gap"
                # The first message has only the cursor.
                seen += ["gap"] if gap else [data["n"]] if "n" in data else []
    return seen


@pytest.mark.gen_test
async def test_streams(ask, queue, engine):
    """Clients that subscribe while the log is loading get the backlog, then each new event once."""
    await queue.publish({"n": 1}, {"n": 2})
    clients = [await sse(ask) for _ in range(20)]
    for n in range(3, 30):
        queue.publish({"n": n})
        await asyncio.sleep(0)
    for client in clients:
        assert await said(client, 29) == [*range(1, 30)]
        client.close()
    states = {client.listener.reading is not None for client in queue.clients.values()}
    assert states <= {True}
    await until(lambda: not queue.clients)


@pytest.mark.gen_test
async def test_resumes(ask, queue, engine):
    """A client resumes with a cursor older than the loaded log, and on several channels."""
    ids = await queue.publish(*({"n": n} for n in range(50)))
    client = await sse(ask, f"last_event_id={ids[4]}")
    assert await said(client, 49) == [*range(5, 50)]
    client.close()
    both = MessageQueue.instance("hall", "room")
    await both.ready()
    start = both.cursor()
    await MessageQueue.instance("hall").publish({"n": 100})
    await queue.publish({"n": 101})
    client = await sse(ask, f"channel=room&channel=hall&last_event_id={start}", "/events")
    assert await said(client, 101) == [100, 101]
    client.close()


@pytest.mark.gen_test
async def test_leaves_while_it_waits(ask, queue, engine):
    """A client that leaves before its log is loaded is forgotten."""
    engine.failing["load"] = "never"
    client = await ask("GET /events/room", "Accept: text/event-stream")
    await until(lambda: queue.clients)
    client.close()
    await until(lambda: not queue.clients)
    engine.failing.clear()


@pytest.mark.gen_test
async def test_long_poll_in_time(fetch, queue, engine):
    """A long poll that times out before the log is loaded gets no events and no cursor."""
    engine.failing["load"] = "never"
    answer = await fetch("/events/room?timeout=0.2")
    assert (answer.code, json.loads(answer.body)) == (200, [])
    assert "Last-Event-ID" not in answer.headers
    engine.failing.clear()


@pytest.mark.gen_test
async def test_the_store_is_away(ask, fetch, queue, engine):
    """If the store is away, a poll gets the status; a stream opens and ends, so that an EventSource
    tries again.
    """
    engine.failing["load"] = Error.HTTP(503, "the store is away")
    assert (await fetch("/events/room")).code == 503
    client = await sse(ask)
    rest = await client.read_all()
    assert b"data: {" not in rest
    assert b" 503" not in rest
    engine.failing.clear()
    await queue.publish({"n": 1})
    client = await sse(ask)
    assert await said(client, 1) == [1]
    client.close()


@pytest.mark.gen_test
async def test_publish_handler(fetch, queue, engine):
    """The answer to a publish is sent after the engine's answer, and reports a failure."""
    answer = await fetch("/publish/room", method="POST", body='{"n":1}', headers=JSON)
    assert json.loads(answer.body)["id"] == engine.store.top("room")
    engine.failing["publish"] = Error.HTTP(503, "the store is away")
    answer = await fetch("/publish/room", method="POST", body='{"n":1}', headers=JSON)
    assert (answer.code, answer.body) == (503, b"the store is away")
    engine.failing.clear()


JSON = {"Content-Type": "application/json"}

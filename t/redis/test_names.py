"""Named clients of real processes: they move, are counted, told of once, and survive `kill -9`."""

import asyncio
import json
import signal
from collections import Counter

import pytest
from support.subscriber import SSE, LongPoll, WebSocket, read_to_end
from support.wire import soon
from tornado.httpclient import AsyncHTTPClient

PROGRAM = "t/redis/names_program.py"


@pytest.fixture
def start(redis_server, serve_program, monkeypatch):
    """`one, two = start(2)` starts processes that share a Redis; `start.said()` is what the hooks
    of all of them said.
    """
    monkeypatch.setenv("TATSUMAKI_ENGINE", redis_server.url)
    programs = []

    def start(count, **environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        new = [serve_program(PROGRAM) for _ in range(count)]
        programs.extend(new)
        return new

    def said():
        lines = [line for one in programs for line in one.stdout.splitlines()]
        return Counter(line for line in lines if line[0] in "+-c")

    start.said = said
    return start


async def get(program, path, **options):
    """The JSON that a program answers."""
    answer = await AsyncHTTPClient().fetch(program.url + path, **options)
    return json.loads(answer.body)


async def publish(program, *numbers, room="room"):
    """Publishes an event for each number. Returns the id of the last one."""
    for number in numbers:
        body = json.dumps({"n": number})
        options = {"headers": {"Content-Type": "application/json"}, "method": "POST", "body": body}
        answer = await get(program, f"publish/{room}", **options)
    return answer["id"]


@pytest.fixture
def connect():
    """`client = await connect(SSE, program, client_id="me")`, which leaves after the test."""
    clients = []

    async def connect(kind, program, path="/events/room", **query):
        client = kind(program.port, path, **query)
        clients.append(client)
        await client.start()
        return client

    yield connect
    for client in clients:
        client.leave()


async def counted(program, expected):
    """Waits until it counts so many subscribers in all processes."""
    for _ in range(100):
        if (count := (await get(program, "count"))[1]) == expected:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{count} subscribers")


def n(messages):
    return [message["n"] for message in messages]


@pytest.mark.gen_test(timeout=20)
async def test_moves(start, connect):
    """A client's poll ends where it was, and its new one begins there; each hook is called once."""
    one, two = start(2)
    for kind, there in ((SSE, WebSocket), (WebSocket, LongPoll), (LongPoll, SSE)):
        room = kind.transport.replace("-", "_")
        options = {"path": f"/events/{room}", "client_id": "me"}
        before = await connect(kind, one, **options)
        if kind.streams:
            await publish(one, 1, room=room)
            assert n(await before.take(1)) == [1]
        else:
            waiting = asyncio.ensure_future(before.open())
            await soon(lambda room=room: start.said()[f"+{room} me"])
        after = await connect(there, two, **options)
        last = asyncio.ensure_future(after.take(1))
        if kind.streams:
            assert await read_to_end(before) == []
        else:
            # Its place comes with the empty answer.
            assert (await waiting).headers["last-event-id"]
            assert before.batch == []
        await publish(one, 2, room=room)
        assert n(await last) == [2]
        after.leave()
    await soon(lambda: sum(start.said().values()) == 6)
    await asyncio.sleep(0.7)
    assert set(start.said().values()) == {1}


@pytest.mark.gen_test(timeout=20)
async def test_a_name_alone(start, connect):
    """Long polls without a cursor, each in another process: no event is missed or comes twice."""
    programs = start(3, RECONNECT_TIME="30")
    seen, at = [], 0
    for number in range(12):
        await publish(programs[number % 3], number)
        if number % 2:
            client = await connect(LongPoll, programs[at], client_id="me")
            at = (at + 1) % 3
            await client.open()
            seen += n(message.data for message in client.batch)
    assert seen == [*range(12)]
    assert start.said() == {"+room me": 1}
    # Three at once: one of them gets what comes.
    polls = [await connect(LongPoll, one, client_id="me") for one in programs]
    heads = [asyncio.ensure_future(poll.open()) for poll in polls]
    await soon(lambda: sum(head.done() for head in heads) == 2)
    await publish(programs[0], 12)
    await asyncio.gather(*heads)
    assert [message.data["n"] for poll in polls for message in poll.batch] == [12]


@pytest.mark.gen_test(timeout=20)
async def test_several_channels(start, connect):
    """Clients of several channels move, too, with one place for each channel."""
    one, two = start(2)
    before = await connect(SSE, one, "/events", client_id="me", channel=["room", "hall"])
    await publish(one, 1)
    assert n(await before.take(1)) == [1]
    after = await connect(SSE, two, "/events", client_id="me", channel=["hall", "room"])
    assert await read_to_end(before) == []
    await publish(one, 2)
    assert n(await after.take(1)) == [2]
    after.leave()
    expected = {"+room me", "+hall me", "-room me kept", "-hall me kept"}
    await soon(lambda: set(start.said()) == expected)
    assert set(start.said().values()) == {1}


@pytest.mark.gen_test(timeout=30)
async def test_killed(start, connect, redis_server):
    """A process is killed: its clients count no more; those that come back in time are not new, and
    for each of the others one process calls the hook.
    """
    one, two, three = start(3, RECONNECT_TIME="1.5")
    names = [f"c{number}" for number in range(30)]
    clients = [await connect(SSE, one, client_id=name) for name in names]
    clients += [await connect(SSE, one) for _ in range(5)]
    for program in (two, three):
        # They have served the class, too.
        await connect(SSE, program, client_id="x")
    await soon(lambda: start.said()["+room x"] == 1)
    await counted(two, 36)
    last = await publish(two, 1)
    for client in clients:
        assert n(await client.take(1)) == [1]
    one.kill()
    await counted(two, 1)
    back = [await connect(LongPoll, two, client_id=name, cursor=last) for name in names[:10]]
    polls = [asyncio.ensure_future(client.open()) for client in back]
    await soon(lambda: sum(line[0] == "-" for line in start.said().elements()) >= 20, 10.0)
    await publish(two, 2)
    await asyncio.gather(*polls)
    await asyncio.sleep(0.3)
    said = start.said()
    assert set(said.values()) == {1}
    assert {line for line in said if line[0] == "-"} == {
        f"-room {name} kept" for name in names[10:]
    }
    assert [client.batch[0].data for client in back] == [{"n": 2}] * 10
    # Nothing of the process is left.
    assert redis_server.ask("ZCARD", "tats:{%all}:alive") == ":2"
    one.start()


@pytest.mark.gen_test(timeout=20)
async def test_paused(start, connect):
    """A process that does not answer holds a client up for a second; its events come twice."""
    one, two = start(2)
    await publish(one, 1, 2)
    poll = await connect(LongPoll, one, client_id="me")
    assert n(await poll.take(2)) == [1, 2]
    stream = await connect(SSE, one, client_id="you")
    assert n(await stream.take(2)) == [1, 2]
    one.signal(signal.SIGSTOP)
    try:
        await publish(two, 3)
        me, you = [
            await connect(kind, two, client_id=name)
            for kind, name in ((LongPoll, "me"), (SSE, "you"))
        ]
        assert n(await me.take(1)) == [3]
        assert n(await you.take(3)) == [1, 2, 3]
    finally:
        one.signal(signal.SIGCONT)
    # It learns that its client is elsewhere.
    await read_to_end(stream)
    assert start.said()["+room you"] == start.said()["+room me"] == 1


@pytest.mark.gen_test(timeout=20)
async def test_stopped(start, connect):
    """A process that stops hands its clients over: those that do not come back are told of."""
    one, two = start(2, RECONNECT_TIME="2")
    for program, name in ((one, "me"), (one, "you"), (two, "she")):
        await connect(SSE, program, client_id=name)
    await soon(lambda: len(start.said()) == 3)
    one.stop()
    await connect(SSE, two, client_id="me")
    await soon(lambda: start.said()["-room you kept"] == 1)
    await asyncio.sleep(0.3)
    assert "-room me kept" not in start.said()
    assert start.said()["+room me"] == 1
    one.start()


@pytest.mark.gen_test(timeout=20)
async def test_disconnect(start, connect, redis_server):
    """`disconnect` of a user or a client reaches all processes, late if it was lost at first."""
    one, two = start(2)
    ann = await connect(SSE, two, user="ann")
    bob = await connect(SSE, two, user="bob", client_id="bob")
    assert await get(one, "kick/ann") == [0]
    assert await read_to_end(ann) == []
    assert await get(one, "end/bob") == [0]
    assert await read_to_end(bob) == []
    await ann.open()
    redis_server.ask("CLIENT", "KILL", "TYPE", "pubsub")
    assert await get(one, "kick/ann") == [0]
    assert await read_to_end(ann) == []


@pytest.mark.gen_test(timeout=20)
async def test_closures(start, connect, redis_server):
    """`on_unsubscribe` of a poll is called in its process, unless the client is elsewhere."""
    one, two = start(2)
    before = await connect(SSE, one, "/plain/me")
    await soon(lambda: redis_server.ask("HEXISTS", "tats:{room}:n", "me") == ":1")
    after = await connect(SSE, two, "/plain/me")
    assert await read_to_end(before) == []
    await asyncio.sleep(0.7)
    assert start.said() == {}
    after.leave()
    await soon(lambda: start.said() == {"closure me": 1})
    assert "closure" in two.stdout


@pytest.mark.gen_test(timeout=20)
async def test_redis_forgets_all(start, connect, redis_server):
    """After a FLUSHALL the processes say again which clients they have; no hook is called."""
    one, two = start(2)
    client = await connect(SSE, one, client_id="me")
    await soon(lambda: start.said() == {"+room me": 1})
    redis_server.ask("FLUSHALL")
    await soon(lambda: redis_server.ask("EXISTS", "tats:{room}:n") == ":1")
    after = await connect(SSE, two, client_id="me")
    await read_to_end(client)
    assert start.said() == {"+room me": 1}
    after.leave()
    await soon(lambda: start.said()["-room me kept"] == 1)

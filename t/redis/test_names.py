"""Named clients of real processes move, are counted, are reported once, and survive `kill -9`."""

import asyncio
import json
import signal
from collections import Counter

import pytest
from support.subscriber import CLIENTS, read_to_end
from support.wire import soon
from tornado.httpclient import AsyncHTTPClient

PROGRAM = "t/redis/names_program.py"


class Processes:
    """Programs that share a Redis."""

    def __init__(self, serve):
        self._serve = serve
        self._programs = []

    def __call__(self, count):
        """Start some more programs."""
        new = [self._serve(PROGRAM) for _ in range(count)]
        self._programs += new
        return new

    def said(self, *channels):
        """Return what the hooks of all programs printed about these channels."""
        lines = [line for one in self._programs for line in one.stdout.splitlines()]
        told = [line for line in lines if line[0] in "+-" or line.startswith("closure")]
        return Counter(line for line in told if line.split()[0].strip("+-") in channels)


@pytest.fixture(scope="module")
def pair(serve_programs, _shared_redis):
    """`processes, one, two = pair`: two programs that no test stops."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TATSUMAKI_ENGINE", _shared_redis.url)
        processes = Processes(serve_programs)
        return processes, *processes(2)


@pytest.fixture
def start(redis_server, serve_program, monkeypatch):
    """`one, two = start(2, reconnect_time=2)` starts processes; see `Processes`."""
    # The programs of `pair` would take part, and call hooks.
    monkeypatch.setenv("TATSUMAKI_ENGINE", f"{redis_server.url}?prefix=own")
    processes = Processes(serve_program)

    def start(count, reconnect_time):
        monkeypatch.setenv("RECONNECT_TIME", str(reconnect_time))
        return processes(count)

    start.said = lambda: processes.said("room")
    return start


async def get(program, path, **options):
    """Return the JSON that a program answers."""
    answer = await AsyncHTTPClient().fetch(program.url + path, **options)
    return json.loads(answer.body)


async def publish(program, *numbers, room="room"):
    """Publish an event for each number and return the id of the last one."""
    for number in numbers:
        body = json.dumps({"n": number})
        options = {"headers": {"Content-Type": "application/json"}, "method": "POST", "body": body}
        answer = await get(program, f"publish/{room}", **options)
    return answer["id"]


@pytest.fixture
def connect():
    """`client = await connect("sse", program, client_id="me")` returns a client, closed after the
    test.
    """
    clients = []

    async def connect(kind, program, path="/events/room", **query):
        client = CLIENTS[kind](program.port, path, **query)
        clients.append(client)
        await client.start()
        return client

    yield connect
    for client in clients:
        client.close()


async def counted(program, expected):
    """Wait until the program counts this number of subscribers in all processes."""
    for _ in range(100):
        if (count := (await get(program, "count"))[1]) == expected:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{count} subscribers")


def n(messages):
    return [message["n"] for message in messages]


@pytest.mark.gen_test(timeout=20)
async def test_moves(pair, connect):
    """A client's old request ends at its place, and the new one continues there; each hook is
    called once.
    """
    processes, one, two = pair
    for kind, there in (("sse", "websocket"), ("websocket", "long-poll"), ("long-poll", "sse")):
        room = kind.replace("-", "_")
        options = {"path": f"/events/{room}", "client_id": "me"}
        before = await connect(kind, one, **options)
        if before.streams:
            await publish(one, 1, room=room)
            assert n(await before.take(1)) == [1]
        else:
            waiting = asyncio.ensure_future(before.open())
            await soon(lambda room=room: processes.said(room))
        after = await connect(there, two, **options)
        last = asyncio.ensure_future(after.take(1))
        if before.streams:
            assert await read_to_end(before) == []
        else:
            # The empty answer contains the client's place.
            assert (await waiting).headers["last-event-id"]
            assert before.unread == []
        await publish(one, 2, room=room)
        assert n(await last) == [2]
        after.close()
    rooms = "sse", "websocket", "long_poll"
    await soon(lambda: sum(processes.said(*rooms).values()) == 6)
    await asyncio.sleep(0.7)
    assert set(processes.said(*rooms).values()) == {1}


@pytest.mark.gen_test(timeout=20)
async def test_a_name_alone(start, connect, redis_server):
    """Long polls without a cursor, each in another process, miss no event and get none twice."""
    programs = start(3, 30)
    # Even without clients, the processes receive calls of `disconnect`.
    await soon(lambda: redis_server.ask("PUBSUB", "NUMSUB", "own:{%all}").endswith(":3"))
    seen, at = [], 0
    for number in range(12):
        await publish(programs[number % 3], number)
        if number % 2:
            client = await connect("long-poll", programs[at], client_id="me")
            at = (at + 1) % 3
            await client.open()
            seen += n(message.data for message in client.unread)
    assert seen == [*range(12)]
    assert start.said() == {"+room me": 1}
    # Of three simultaneous polls, one gets the event.
    polls = [await connect("long-poll", one, client_id="me") for one in programs]
    heads = [asyncio.ensure_future(poll.open()) for poll in polls]
    await soon(lambda: sum(head.done() for head in heads) == 2)
    await publish(programs[0], 12)
    await asyncio.gather(*heads)
    assert [message.data["n"] for poll in polls for message in poll.unread] == [12]


@pytest.mark.gen_test(timeout=20)
async def test_several_channels(pair, connect):
    """A client of several channels can move, too, with one place for each channel."""
    processes, one, two = pair
    before = await connect("sse", one, "/events", client_id="me", channel=["big", "hall"])
    await publish(one, 1, room="big")
    assert n(await before.take(1)) == [1]
    after = await connect("sse", two, "/events", client_id="me", channel=["hall", "big"])
    assert await read_to_end(before) == []
    await publish(one, 2, room="big")
    assert n(await after.take(1)) == [2]
    after.close()
    expected = {"+big me", "+hall me", "-big me kept", "-hall me kept"}
    await soon(lambda: set(processes.said("big", "hall")) == expected)
    assert set(processes.said("big", "hall").values()) == {1}


@pytest.mark.gen_test(timeout=30)
async def test_killed(start, connect, redis_server):
    """The clients of a killed process are no longer counted. Clients that return in time are not
    new; for each of the others, one process calls the hook.
    """
    one, two, three = start(3, 1.5)
    names = [f"c{number}" for number in range(30)]
    clients = [await connect("sse", one, client_id=name) for name in names]
    clients += [await connect("sse", one) for _ in range(5)]
    for program in (two, three):
        # These processes must also have served the class.
        await connect("sse", program, client_id="x")
    await soon(lambda: start.said()["+room x"] == 1)
    await counted(two, 36)
    last = await publish(two, 1)
    for client in clients:
        assert n(await client.take(1)) == [1]
    one.kill()
    await counted(two, 1)
    back = [await connect("long-poll", two, client_id=name, cursor=last) for name in names[:10]]
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
    assert [client.unread[0].data for client in back] == [{"n": 2}] * 10
    # Redis has forgotten the process.
    assert redis_server.ask("ZCARD", "own:{%all}:alive") == ":2"
    one.start()


@pytest.mark.gen_test(timeout=20)
async def test_paused(start, connect):
    """A process that does not answer delays its client by a second; events may arrive twice."""
    one, two = start(2, 30)
    await publish(one, 1, 2)
    poll = await connect("long-poll", one, client_id="me")
    assert n(await poll.take(2)) == [1, 2]
    stream = await connect("sse", one, client_id="you")
    assert n(await stream.take(2)) == [1, 2]
    one.signal(signal.SIGSTOP)
    try:
        await publish(two, 3)
        me, you = [
            await connect(kind, two, client_id=name)
            for kind, name in (("long-poll", "me"), ("sse", "you"))
        ]
        assert n(await me.take(1)) == [3]
        seen = []
        while seen[-1:] != [3]:
            seen += n(await you.take(1))
        # Events are repeated from a little before the last sign of life.
        assert seen == [1, 2, 3][-len(seen) :]
    finally:
        one.signal(signal.SIGCONT)
    # The process learns that its client has moved.
    await read_to_end(stream)
    assert start.said()["+room you"] == start.said()["+room me"] == 1


@pytest.mark.gen_test(timeout=20)
async def test_stopped(start, connect):
    """A process that stops hands over its clients: the hook is called for those that do not
    return.
    """
    one, two = start(2, 2)
    for program, name in ((one, "me"), (one, "you"), (two, "she")):
        await connect("sse", program, client_id=name)
    await soon(lambda: len(start.said()) == 3)
    one.stop()
    await connect("sse", two, client_id="me")
    await soon(lambda: start.said()["-room you kept"] == 1)
    await asyncio.sleep(0.3)
    assert "-room me kept" not in start.said()
    assert start.said()["+room me"] == 1
    one.start()


@pytest.mark.gen_test(timeout=20)
async def test_disconnect(pair, connect, redis_server):
    """`disconnect` of a user or a client reaches all processes, even if the message is
    first lost.
    """
    _, one, two = pair
    ann = await connect("sse", two, user="ann")
    bob = await connect("sse", two, user="bob", client_id="bob")
    assert await get(one, "kick/ann") == [0]
    assert await read_to_end(ann) == []
    assert await get(one, "end/bob") == [0]
    assert await read_to_end(bob) == []
    await ann.open()
    redis_server.ask("CLIENT", "KILL", "TYPE", "pubsub")
    assert await get(one, "kick/ann") == [0]
    assert await read_to_end(ann) == []


@pytest.mark.gen_test(timeout=20)
async def test_closures(pair, connect, redis_server):
    """`on_unsubscribe` of a poll is called in its own process, unless the client has moved."""
    processes, one, two = pair
    before = await connect("sse", one, "/plain/me")
    await soon(lambda: redis_server.ask("HEXISTS", "tats:{room}:n", "me") == ":1")
    after = await connect("sse", two, "/plain/me")
    assert await read_to_end(before) == []
    await asyncio.sleep(0.7)
    assert processes.said("closure") == {}
    after.close()
    await soon(lambda: processes.said("closure") == {"closure me": 1})
    assert "closure" in two.stdout


@pytest.mark.gen_test(timeout=20)
async def test_redis_forgets_all(pair, connect, redis_server):
    """After a FLUSHALL, the processes register their clients again, and no hook is called."""
    processes, one, two = pair
    client = await connect("sse", one, "/events/lobby", client_id="me")
    await soon(lambda: processes.said("lobby") == {"+lobby me": 1})
    redis_server.ask("FLUSHALL")
    await soon(lambda: redis_server.ask("EXISTS", "tats:{lobby}:n") == ":1")
    after = await connect("sse", two, "/events/lobby", client_id="me")
    await read_to_end(client)
    assert processes.said("lobby") == {"+lobby me": 1}
    after.close()
    await soon(lambda: processes.said("lobby")["-lobby me kept"] == 1)

"""Processes may lose Redis for a while, and their clients are then handled correctly."""

import asyncio
import contextlib

import pytest
from engine.feed import Clients, answer, bodies
from support.answers import until

from tatsumaki_py import Error
from tatsumaki_py.message_queue.engine.redis.presence import lives
from tatsumaki_py.message_queue.engine.redis.presence.keys import AllKeys, ClientKeys
from tatsumaki_py.message_queue.engine.redis.presence.scripts import MOVE, SAY
from tatsumaki_py.testing import Proxy

ROOM = ("room",)
OPTIONS = {"backoff": 0.01, "max_backoff": 0.05, "command_timeout": 0.2, "connect_timeout": 0.2}
BEAT, LIFE, BACK = 0.05, 0.3, 0.1


@pytest.fixture
def process(make_engine, monkeypatch):
    """`engine, its = process(url)` returns an engine and its `Clients`."""
    monkeypatch.setattr(lives, "BEAT_INTERVAL", BEAT)
    monkeypatch.setattr(lives, "LIFE", LIFE)

    def make(url, **options):
        engine, clients = make_engine(url, **OPTIONS | options), Clients()
        engine.presence.connect(clients)
        return engine, clients

    return make


@contextlib.asynccontextmanager
async def cut_off(proxy):
    """A block during which a process cannot reach Redis."""
    proxy.down = True
    proxy.cut()
    yield
    proxy.down = False


@pytest.fixture
def network(redis_server, io_loop):
    """The network between one process and Redis."""
    proxy = Proxy(redis_server.port)
    io_loop.run_sync(proxy.start)
    yield proxy
    io_loop.run_sync(proxy.stop)


@pytest.mark.gen_test
async def test_redis_is_away_for_long(make_redis, process, expect_log):
    """When Redis is back after a long time, no process considers the others dead."""
    server = make_redis()
    processes = [process(server.url) for _ in range(3)]
    for number, (engine, _) in enumerate(processes):
        assert await engine.presence.arrive(ROOM, f"c{number}", "app.Events", BACK)
    await asyncio.sleep(LIFE + 0.1)
    with expect_log("tatsumaki", "Redis at .* is (away|back)"):
        server.pause()
        await asyncio.sleep(LIFE + BACK + 0.2)
        server.resume()
        await asyncio.sleep(2 * LIFE)
    assert [its.left + its.again for _, its in processes] == [[]] * 3


@pytest.mark.gen_test
async def test_taken_for_dead(redis_server, network, process, expect_log):
    """If a process seems dead, another one calls the hook of its clients; clients that are still
    there arrive again.
    """
    (one, its), (two, others) = (
        process(f"redis://127.0.0.1:{network.port}"),
        process(redis_server.url),
    )
    for name in ("stays", "leaves", "moves"):
        assert await one.presence.arrive(ROOM, name, "app.Events", BACK)
    await two.presence.arrive(ROOM, "x", "", BACK)
    with expect_log("tatsumaki", "Redis at .* is (away|back)"):
        async with cut_off(network):
            await until(lambda: len(others.left) == 3)
            leaving = one.presence.gone(ROOM, "leaves")
            assert await two.presence.arrive(ROOM, "moves", "", BACK)
        # The hook for the client's departure has been called already.
        assert not await leaving
        await until(lambda: its.again and its.taken)
        await until(lambda: not one.session().outage.away)
        await asyncio.sleep(2 * BEAT)
    assert (its.again, its.taken) == ([(ROOM, "stays")], [(ROOM, "moves")])
    assert await one.presence.gone(ROOM, "stays")
    assert len(others.left) == 3


@pytest.mark.gen_test
async def test_redis_has_lost_all(redis_server, process):
    """If Redis loses everything, no hook is called."""
    (one, its), (two, others) = process(redis_server.url), process(redis_server.url)
    for engine in (one, two):
        assert await engine.presence.arrive(ROOM, f"c{id(engine)}", "app.Events", BACK)
    redis_server.ask("FLUSHALL")
    await until(lambda: redis_server.ask("HLEN", "tats:{room}:n") == ":2")
    await asyncio.sleep(2 * LIFE)
    assert its.again + its.left + others.again + others.left == []


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.gen_test
async def test_the_place_is_lost(redis_server, network, process, attached, expect_log, kept):
    """A client whose process is silent resumes a little before the last sign of life, or gets a
    gap.
    """
    (one, _), (two, _) = process(f"redis://127.0.0.1:{network.port}"), process(redis_server.url)
    feed = await attached(two, buffer_length=2, backlog_length=2, recovery_time=0)
    ids = await two.publish(feed, bodies(1, 2))
    await one.presence.arrive(ROOM, "me", "", 30.0)
    await asyncio.sleep(4 * BEAT)
    with expect_log("tatsumaki", "Redis at .* is (away|back)"):
        async with cut_off(network):
            await asyncio.sleep(BEAT)
            await two.publish(feed, bodies(*range(1 if kept else 3)))
            assert not await two.presence.arrive(ROOM, "me", "", 30.0)
            place = await answer(two.recall(ROOM, "me"))
            assert (place == ids[1]) is kept
            history = await answer(two.history(feed, place, 9))
            assert kept or history is None
        await until(lambda: redis_server.ask("ZCARD", "tats:{%all}:alive") == ":2")
        await until(lambda: not one.session().outage.away)
        await asyncio.sleep(2 * BEAT)


@pytest.mark.gen_test
async def test_everything_expires(redis_server, process):
    """The keys of ended processes, and of clients that were not forgotten, expire."""
    processes = [process(redis_server.url) for _ in range(2)]
    for engine, _ in processes:
        await engine.presence.arrive(ROOM, f"c{id(engine)}", "app.Unknown", 30.0)
        await engine.presence.arrive(ROOM, "me", "", BACK)
        engine.presence.send(b"hello")
    await asyncio.sleep(2 * BEAT)
    await processes[0][0].close()
    await asyncio.sleep(LIFE + BACK)
    await processes[1][0].close()
    keys = [line for line in redis_server.ask("KEYS", "*").split("\r\n") if "tats" in line]
    assert len(keys) >= 4
    assert [key for key in keys if int(redis_server.ask("PTTL", key)[1:]) <= 0] == []


@pytest.mark.gen_test
async def test_counting_without_a_subscription(redis_server, network, process, expect_log):
    """A process that cannot receive the answers raises an exception instead of counting too few."""
    (one, _), (two, others) = (
        process(f"redis://127.0.0.1:{network.port}"),
        process(redis_server.url),
    )
    others.places = {(ROOM, "me"): ""}
    for engine in (one, two):
        await engine.presence.arrive(ROOM, f"c{id(engine)}", "", BACK)
    assert await one.presence.count(ROOM) == 1
    with expect_log("tatsumaki", "Redis at .* is (away|back)"):
        network.down = True
        redis_server.ask("CLIENT", "KILL", "TYPE", "pubsub")
        await until(lambda: one.session().outage.away)
        with pytest.raises(Error.HTTP, match="away"):
            await one.presence.count(ROOM)
        network.down = False
        await until(lambda: not one.session().outage.away)
    assert await one.presence.count(ROOM) == 1


@pytest.mark.gen_test
async def test_a_reply_that_was_lost(redis_server, process):
    """A repeated call gets the same answer, and a repeated message is processed once."""
    (one, _), (two, its) = process(redis_server.url), process(redis_server.url)
    assert await one.presence.arrive(ROOM, "me", "", BACK)
    for engine in (one, two):
        await engine.presence.count(ROOM)
    keys = ClientKeys("tats", ROOM)
    questions = two.session().questions
    move = MOVE, (keys.present, keys.place("me")), (b"me", "other", 7, "0", 1000)
    first = await questions.run(*move)
    assert first == await questions.run(*move) == [0, one.session().process.encode(), b"1", None]
    every = AllKeys("tats")
    say = SAY, (every.log,), (every.messages, "other", 7, b"hello", 10, 1000)
    await questions.run(*say)
    await questions.run(*say)
    one.presence.send(b"end")
    await until(lambda: b"end" in its.received)
    assert its.received == [b"hello", b"end"]


@pytest.mark.gen_test
async def test_a_redis_that_knows_no_script(make_redis, process):
    """Even if Redis does not know the scripts, no call must be repeated, so all keep their
    order.
    """
    server = make_redis()
    engine, _ = process(server.url)
    done = [
        call
        for _ in range(3)
        for call in (engine.presence.arrive(ROOM, "me", "", 30.0), engine.presence.gone(ROOM, "me"))
    ]
    assert await asyncio.gather(*done) == [True] * 6
    assert "NOSCRIPT" not in server.ask("INFO", "errorstats")

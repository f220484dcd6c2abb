"""Events that one iteration of the loop publishes are sent together, in order, and once."""

import asyncio
import gc
import logging

import pytest
from engine.feed import Feed, bodies, numbers

from tatsumaki_py import Error
from tatsumaki_py.testing import Proxy


@pytest.mark.gen_test
async def test_one_iteration_is_one_call(make_engine, redis_server, attached):
    """64 events of one channel need one script and one message; 64 channels share one pipeline."""
    engine = make_engine(redis_server.url)
    feed = await attached(engine)
    await engine.publish(feed, bodies(0))
    redis_server.ask("CONFIG", "RESETSTAT")
    answers = [engine.publish(feed, bodies(n)) for n in range(1, 65)]
    ids = [id for answer in answers for id in await answer]
    assert [event.id for event in feed.entries][-64:] == ids
    assert feed.told[-1] == [*range(1, 65)]
    calls = redis_server.calls()
    assert (calls["evalsha"], calls["publish"], calls["xadd"]) == (1, 1, 64)
    others = [Feed(f"room{n}", {}) for n in range(64)]
    await asyncio.gather(*(engine.publish(one, bodies(1)) for one in others))
    assert redis_server.calls()["evalsha"] == 65
    assert redis_server.ask("CLIENT", "LIST").count("name=tatsumaki") <= 3


@pytest.mark.gen_test
async def test_keys_and_quiet_events_keep_their_place(make_engine, redis_server, attached):
    engine = make_engine(redis_server.url)
    feed = await attached(engine)
    answers = [
        engine.publish(feed, bodies(1)),
        engine.publish(feed, bodies(2), idempotency_key="a"),
        engine.publish(feed, bodies(3), quiet=True),
        engine.publish(feed, bodies(4), idempotency_key="b"),
        engine.publish(feed, bodies(5)),
    ]
    ids = [id for answer in answers for id in await answer]
    assert [event.id for event in feed.entries] == ids
    assert feed.numbers == [1, 2, 3, 4, 5]
    assert [event.quiet for event in feed.entries] == [False, False, True, False, False]


@pytest.mark.gen_test
async def test_a_process_that_only_publishes(make_engine, redis_server):
    """A process that only publishes has one connection and no subscription."""
    engine = make_engine(redis_server.url)
    await engine.publish(Feed("room", {}), bodies(1))
    assert redis_server.ask("CLIENT", "LIST").count("name=tatsumaki") == 1
    assert "subscribe" not in redis_server.calls()


@pytest.mark.gen_test
async def test_too_many_for_one_call(make_engine, redis_server, attached):
    """Too many events are refused before they are sent. Many publishes of one iteration need
    several calls.
    """
    engine = make_engine(redis_server.url)
    feed = await attached(engine, buffer_length=5000)
    for too_many in (bodies(*range(1001)), [b'"' + b"x" * 2**21 + b'"'] * 2):
        with pytest.raises(Error.HTTP) as raised:
            engine.publish(feed, too_many)
        assert raised.value.code == 413
    answers = [engine.publish(feed, bodies(*range(n, n + 100))) for n in range(0, 2500, 100)]
    await asyncio.gather(*answers)
    await feed.has(*range(2500))


@pytest.mark.gen_test
async def test_a_reply_that_is_lost(make_engine, redis_server, attached):
    """If a reply is lost, the call is repeated, and Redis recognizes it, whether or not it was
    executed.
    """
    proxy = Proxy(redis_server.port)
    await proxy.start()
    engine = make_engine(f"redis://127.0.0.1:{proxy.port}", command_timeout=0.25)
    feed = Feed("room", {})
    reader = await attached(make_engine(redis_server.url))
    accepted = await engine.publish(feed, bodies(0))
    for n in range(1, 12):
        match n % 3:
            case 0:
                proxy.freeze(answers_only=True)
            case 1:
                proxy.cut_after(n // 3)
            case 2:
                proxy.cut()
        answers = [
            engine.publish(feed, bodies(n)),
            engine.publish(feed, bodies(-n), idempotency_key=f"{n}"),
        ]
        accepted += [id for answer in answers for id in await answer]
    await reader.until(lambda: [event.id for event in reader.entries] == accepted)
    await reader.has(0, *[n for m in range(1, 12) for n in (m, -m)])
    await proxy.stop()


@pytest.mark.gen_test
async def test_redis_hangs(make_redis, make_engine, attached, caplog):
    """A publish fails after `publish_timeout`, and its events are not accepted later. Later
    publishes succeed in order.
    """
    server = make_redis()
    engine = make_engine(server.url, publish_timeout=0.3, command_timeout=0.2)
    feed = await attached(engine)
    await engine.publish(feed, bodies(1))
    with caplog.at_level(logging.CRITICAL, "tatsumaki"):
        server.pause()
        for _ in range(2):
            with pytest.raises(Error.HTTP) as raised:
                await engine.publish(feed, bodies(2))
            assert (raised.value.code, raised.value.retry_after > 0) == (503, True)
        late = [engine.publish(feed, bodies(n)) for n in (3, 4)]
        server.resume()
        await asyncio.gather(*late)
    await feed.has(1, 3, 4)
    assert numbers(feed.entries) == [1, 3, 4]


@pytest.mark.gen_test
async def test_scripts_are_forgotten(make_engine, redis_server, attached):
    engine = make_engine(redis_server.url)
    feed = await attached(engine)
    for n in range(3):
        redis_server.ask("SCRIPT", "FLUSH")
        await asyncio.gather(
            engine.publish(feed, bodies(n)), engine.publish(Feed("b", {}), bodies(n))
        )
    assert feed.numbers == [0, 1, 2]


@pytest.mark.gen_test
async def test_memory_is_full(make_redis, make_engine, attached):
    """A publish fails immediately if memory is full, and works again afterwards."""
    server = make_redis()
    engine = make_engine(server.url)
    feed = await attached(engine)
    await engine.publish(feed, bodies(1))
    server.ask("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(Error.HTTP) as raised:
        await asyncio.wait_for(engine.publish(feed, bodies(2)), 1)
    assert (raised.value.code, str(raised.value)) == (503, "Redis is out of memory")
    server.ask("CONFIG", "SET", "maxmemory", "0")
    await engine.publish(feed, bodies(3))
    await feed.has(1, 3)


@pytest.mark.gen_test
async def test_nobody_waits_for_the_answer(make_engine, expect_log):
    """Failed publishes that were not awaited are logged together."""
    engine = make_engine("redis://127.0.0.1:1", publish_timeout=0.1)
    for n in range(5):
        engine.publish(Feed("room", {}), bodies(n))
    with expect_log("tatsumaki", "Redis at 127.0.0.1:1 is away"):
        await asyncio.sleep(0.15)
        gc.collect()
    with expect_log(
        "tatsumaki", "5 publishes that were not awaited failed: the events were not accepted"
    ):
        await engine.close()


@pytest.mark.gen_test
async def test_the_first_publish_is_late(make_redis, make_engine):
    """The first publish has a deadline, too: the time of Redis is read before it."""
    server = make_redis()
    engine = make_engine(server.url, publish_timeout=0.1)
    server.ask("CLIENT", "PAUSE", 300, "WRITE")
    with pytest.raises(Error.HTTP, match="Redis did not confirm the events"):
        await engine.publish(Feed("room", {}), bodies(1))
    await asyncio.sleep(0.3)
    assert server.ask("XLEN", "tats:{room}:s") == ":0"


def test_a_loop_ends_before_redis_has_the_event(make_engine, redis_server, expect_log):
    engine = make_engine(redis_server.url)

    async def publish():
        engine.publish(Feed("room", {}), bodies(1))

    with expect_log("tatsumaki", "failed: the event loop ended before Redis confirmed the events"):
        asyncio.run(publish())


def test_without_a_loop(make_engine):
    with pytest.raises(RuntimeError, match=r"use tatsumaki_py\.publisher\.Publisher"):
        make_engine("redis://127.0.0.1:1").publish(Feed("room", {}), bodies(1))

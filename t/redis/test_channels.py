"""A channel in one process gets the events of other processes immediately, and misses none."""

import asyncio
import logging

import pytest
from engine.feed import Feed, answer, bodies, numbers

from tatsumaki_py.message_queue.engine.redis import feeding
from tatsumaki_py.testing import Proxy

OPTIONS = {"backoff": 0.01, "max_backoff": 0.05, "command_timeout": 0.2}
OPTIONS |= {"probe_interval": 0.1, "check_interval": 0.1}


def subscriptions(server):
    return server.ask("PUBSUB", "NUMSUB", "tats:{room}").split(":")[-1]


@pytest.mark.gen_test
async def test_live(make_engine, redis_server, attached):
    here, there = make_engine(redis_server.url), make_engine(redis_server.url)
    feed = await attached(here)
    redis_server.ask("CONFIG", "RESETSTAT")
    for n in range(0, 30, 3):
        await there.publish(Feed("room", {}), bodies(n, n + 1))
        await there.publish(Feed("room", {}), bodies(n + 2), quiet=True)
    await feed.has(*range(30))
    assert [event.quiet for event in feed.entries] == [n % 3 == 2 for n in range(30)]
    # The messages contain everything: no further command was needed.
    assert redis_server.calls()["evalsha"] == 20


@pytest.mark.gen_test
async def test_names(make_engine, redis_server, attached):
    """Any text can be the name of a channel, and different names are different channels."""
    here, there = make_engine(redis_server.url), make_engine(redis_server.url)
    names = ["", "%", "%25", "a}b", "a%7Db", "{x}", "a b\r\n", "ü", "\ud800", "*"]
    feeds = [await attached(here, name) for name in names]
    for n, name in enumerate(names):
        await there.publish(Feed(name, {}), bodies(n))
    for n, feed in enumerate(feeds):
        await feed.has(n)


@pytest.mark.gen_test
async def test_the_connection_is_killed_in_a_burst(make_engine, redis_server, attached):
    """A killed connection is replaced immediately and does not count as an outage."""
    here, there = make_engine(redis_server.url), make_engine(redis_server.url)
    feed = await attached(here)
    calls = []
    for n in range(200):
        calls.append(there.publish(Feed("room", {}), bodies(n)))
        if n % 50 == 25:
            redis_server.ask("CLIENT", "KILL", "TYPE", "pubsub")
        await asyncio.sleep(0)
    await asyncio.gather(*calls)
    await feed.has(*range(200))


@pytest.mark.parametrize("never", ["probe_interval", "check_interval"])
@pytest.mark.gen_test
async def test_the_last_message_is_lost(make_engine, redis_server, attached, never):
    """A lost last message is detected by comparing the newest ids, or by a probe that does not
    return.
    """
    proxy = Proxy(redis_server.port)
    await proxy.start()
    there = make_engine(redis_server.url)
    here = make_engine(f"redis://127.0.0.1:{proxy.port}", **OPTIONS | {never: 60})
    feed = await attached(here)
    proxy.freeze(answers_only=True)
    await there.publish(Feed("room", {}), bodies(1))
    # Commands use a new connection, but the subscription hangs.
    await feed.has(1)
    await here.close()
    await proxy.stop()


@pytest.mark.gen_test
async def test_linger(make_engine, redis_server, attached):
    """A channel without listeners is still fed for a while, and is loaded again later."""
    engine = make_engine(redis_server.url, linger=0.1)
    feed = await attached(engine)
    engine.detach(feed)
    await engine.publish(feed, bodies(1))
    await feed.has(1)
    engine.attach(feed)
    await asyncio.sleep(0.15)
    assert (feed.loads, feed.unloads, subscriptions(redis_server)) == (1, 0, "1")
    engine.detach(feed)
    await feed.until(lambda: feed.unloads == 1 and subscriptions(redis_server) == "0")
    engine.attach(feed)
    await feed.until(lambda: feed.loads == 2 and subscriptions(redis_server) == "1")
    engine.forget(feed)
    await feed.until(lambda: subscriptions(redis_server) == "0")


@pytest.mark.gen_test
async def test_everything_is_lost(make_engine, redis_server, attached):
    """After Redis has lost everything, a client gets a gap and then the new events."""
    here, there = make_engine(redis_server.url, **OPTIONS), make_engine(redis_server.url)
    feed, quiet = await attached(here), await attached(here, "quiet")
    (id,) = await there.publish(Feed("room", {}), bodies(1))
    await feed.has(1)
    place = quiet.top
    redis_server.ask("FLUSHALL")
    await there.publish(Feed("room", {}), bodies(2))
    await feed.has(2)
    gap, event = feed.log.since(id)
    assert (gap.gap, gap.id, event.event()["n"]) == (True, event.prev, 2)
    # Without a new event, comparing the newest ids reveals the loss.
    await quiet.until(lambda: quiet.top != place)
    assert [entry.gap for entry in quiet.log.since(place)] == [True]


@pytest.mark.gen_test
async def test_only_the_top_is_lost(make_engine, redis_server, attached):
    """If only the newest id is lost, it is restored from the newest event: no event is missed and
    no id is used twice.
    """
    engine = make_engine(redis_server.url)
    feed = await attached(engine)
    ids = await engine.publish(feed, bodies(1))
    for n in range(2, 5):
        redis_server.ask("DEL", "tats:{room}:t")
        if n == 3:
            assert (await attached(make_engine(redis_server.url))).top == ids[-1]
        ids += await engine.publish(feed, bodies(n))
    await feed.has(1, 2, 3, 4)
    assert numbers(feed.log.since(ids[0])) == [2, 3, 4]


@pytest.mark.gen_test
async def test_many_ask_for_the_same(make_engine, redis_server, attached):
    """5000 clients that return with the same old cursor need only one call to Redis."""
    there = make_engine(redis_server.url)
    ids = await there.publish(Feed("room", {}), bodies(*range(10)))
    here = make_engine(redis_server.url)
    feed = await attached(here, backlog_length=3)
    redis_server.ask("CONFIG", "RESETSTAT")
    answers = await asyncio.gather(*(answer(here.history(feed, ids[1], 50)) for _ in range(5000)))
    assert all(numbers(one) == [2, 3, 4, 5, 6] for one in answers)
    calls = redis_server.calls()
    assert calls.get("evalsha", 0) + calls.get("eval", 0) <= 2


@pytest.mark.gen_test
async def test_a_callback_fails(make_engine, redis_server, attached, expect_log):
    """If one channel cannot process its events, other channels and later events still arrive."""
    here, there = make_engine(redis_server.url, **OPTIONS), make_engine(redis_server.url)
    bad, good = await attached(here, "bad"), await attached(here, "good")
    accept, bad.accept = bad.accept, None
    with expect_log("tatsumaki", "events of channel 'bad' could not be processed"):
        for name in ("bad", "good"):
            await there.publish(Feed(name, {}), bodies(1))
        await good.has(1)
    bad.accept = accept
    await there.publish(Feed("bad", {}), bodies(2))
    await bad.has(1, 2)


@pytest.mark.gen_test
async def test_the_reader_dies(make_engine, redis_server, attached, expect_log):
    here, there = make_engine(redis_server.url, **OPTIONS), make_engine(redis_server.url)
    feed = await attached(here)
    here.session()._listener._task.cancel()
    with expect_log("tatsumaki", "the pub/sub reader failed: restarting it"):
        await there.publish(Feed("room", {}), bodies(1))
        await feed.has(1)


@pytest.mark.gen_test
async def test_used_while_it_is_closed(make_engine, redis_server, attached):
    """Channels that are attached while the engine is closing are fed again after it has closed."""
    here, there = make_engine(redis_server.url), make_engine(redis_server.url)
    feed = await attached(here)
    feed.unload = lambda: here.attach(feed)
    closing = asyncio.ensure_future(here.close())
    await asyncio.sleep(0)
    await here.publish(Feed("other", {}), bodies(1))
    await closing
    await there.publish(Feed("room", {}), bodies(2))
    await feed.has(2)


@pytest.mark.gen_test
async def test_closed_and_used_again(make_engine, redis_server, attached):
    """Channels are fed again if a closed engine is used again."""
    engine = make_engine(redis_server.url)
    feed = await attached(engine)
    await engine.publish(feed, bodies(1))
    feed.unload = lambda: engine.attach(feed)
    await engine.close()
    await asyncio.sleep(0.02)
    assert "tatsumaki" not in redis_server.ask("CLIENT", "LIST")
    await engine.publish(feed, bodies(2))
    await feed.has(1, 2)
    await engine.close()


@pytest.mark.gen_test
async def test_idle_channels_cost_little(make_engine, redis_server, caplog):
    """1000 idle channels cost two commands per check and one per probe."""
    engine = make_engine(redis_server.url, **OPTIONS | {"check_interval": 0.2})
    feeds = [Feed(f"room{n}", {}) for n in range(1000)]
    for feed in feeds:
        engine.attach(feed)
    await feeds[0].until(lambda: all(feed.loads for feed in feeds))
    await asyncio.sleep(0.3)
    with caplog.at_level(logging.DEBUG):
        redis_server.ask("CONFIG", "RESETSTAT")
        await asyncio.sleep(0.5)
    calls = redis_server.calls()
    assert calls["mget"] <= 2 * 3
    assert calls["publish"] <= 5
    assert not {"evalsha", "eval", "get", "pexpire", "subscribe"} & {*calls}


@pytest.mark.gen_test
async def test_cursors_that_are_no_ids(make_engine, redis_server, attached):
    """A cursor that is not a known id is treated as lost, and causes no error."""
    engine = make_engine(redis_server.url)
    feed = await attached(engine)
    await engine.publish(feed, bodies(1))
    for cursor in ("0-0", f"{2**64 - 1}-{2**64 - 1}", f"{2**64}-0", f"0-{10**20 - 1}"):
        assert await answer(engine.history(feed, cursor, 10)) is None


@pytest.mark.gen_test
async def test_more_than_one_answer_has(make_engine, redis_server, attached):
    """A process that missed many events loads them in several calls."""
    here, there = make_engine(redis_server.url), make_engine(redis_server.url)
    feed = await attached(here, buffer_length=7)
    there_feed = Feed("room", {"buffer_length": 100})
    channel = here.session().feeding.channels["room"]
    channel.loaded = False  # Messages wait or are dropped.
    await there.publish(there_feed, bodies(0))
    await asyncio.sleep(0.02)
    channel.loaded = True
    await there.publish(there_feed, bodies(*range(1, 20)))
    await feed.has(*range(20))


@pytest.mark.gen_test
async def test_publish_waits_for_the_log_here(make_engine, redis_server, monkeypatch):
    """When `publish` returns the ids, this process's log has the events and all earlier ones."""
    here, there = make_engine(redis_server.url), make_engine(redis_server.url)
    monkeypatch.setattr(feeding, "ARRIVAL", 5.0)
    feed = Feed("room", {})
    here.attach(feed)
    for n in range(20):
        elsewhere = asyncio.ensure_future(there.publish(Feed("room", {}), bodies(100 + n)))
        (id,) = await here.publish(feed, bodies(n))
        assert [event.id for event in feed.entries if event.event()["n"] == n][-1] == id
        await elsewhere
    await feed.until(lambda: len(feed.entries) == 40)


@pytest.mark.gen_test
async def test_publish_does_not_wait_for_ever(make_engine, redis_server, attached):
    """`publish` does not wait forever for its message; missing events are loaded from Redis."""
    here, there = make_engine(redis_server.url), make_engine(redis_server.url)
    feed = await attached(here)
    here.session()._listener._message = lambda *message: None
    await there.publish(Feed("room", {}), bodies(1))
    await asyncio.wait_for(here.publish(feed, bodies(2)), 1)
    await feed.has(1, 2)


@pytest.mark.gen_test
async def test_a_channel_in_use_stays(make_engine, redis_server, attached):
    """The keys of a channel in use do not expire, even without a new event."""
    engine = make_engine(redis_server.url, **OPTIONS)
    feed = await attached(engine, idle_timeout=0)
    await engine.publish(feed, bodies(1))
    for key in ("tats:{room}:s", "tats:{room}:t"):
        redis_server.ask("PEXPIRE", key, 1000)
    engine.session().feeding.channels["room"].used -= 1000
    await feed.until(lambda: int(redis_server.ask("PTTL", "tats:{room}:s")[1:]) > 90_000)
    await feed.until(lambda: int(redis_server.ask("PTTL", "tats:{room}:t")[1:]) > 90_000)

"""While Redis is away, the log has one line at the beginning and one at the end, and waiting
clients are not disturbed.
"""

import asyncio
import contextlib

import pytest
from engine.feed import Feed, answer, bodies

from tatsumaki_py import Error, Snapshot
from tatsumaki_py.message_queue.engine.redis import publishing

OPTIONS = {
    "backoff": 0.01,
    "max_backoff": 0.05,
    "command_timeout": 0.5,
    "connect_timeout": 0.5,
    "probe_interval": 0.2,
    "publish_timeout": 0.3,
}


@pytest.mark.parametrize("how", ["kill", "pause"])
@pytest.mark.gen_test
async def test_away_and_back(make_redis, make_engine, attached, expect_log, how):
    server = make_redis(appendonly="yes", appendfsync="always")
    here = make_engine(server.url, **OPTIONS)
    elsewhere = server.url.replace("127.0.0.1", "localhost")
    there = make_engine(elsewhere, **OPTIONS | {"publish_timeout": 5})
    feed = await attached(here)
    ids = await there.publish(Feed("room", {}), bodies(1))
    await feed.has(1)
    with expect_log("tatsumaki", "Redis at .* is (away|back)") as lines:
        getattr(server, how)()
        with pytest.raises(Error.HTTP) as raised:
            await here.publish(feed, bodies(2))
        assert (raised.value.code, raised.value.retry_after > 0) == (503, True)
        new = Feed("new", {})
        here.attach(new)
        await new.until(lambda: new.failures)
        assert {(error.code, error.retry_after > 0) for error in new.failures} == {(503, True)}
        with pytest.raises(Error.HTTP) as raised:
            await answer(here.history(feed, "1-1", 100))
        assert raised.value.code == 503
        assert Snapshot.take().engine_up == 0
        assert (feed.unloads, feed.failures, feed.numbers) == (0, [], [1])
        waiting = there.publish(Feed("room", {}), bodies(3))
        await asyncio.to_thread(server.start if how == "kill" else server.resume)
        await waiting
        await here.publish(feed, bodies(4))
        await feed.has(1, 3, 4)
        assert [event.prev for event in feed.entries][1] == ids[0]
        await new.until(lambda: new.loads == 1)
        await feed.until(lambda: Snapshot.take().engine_up == 1)
        await asyncio.sleep(0.1)
    mine = [text for line in lines if "at 127.0.0.1" in (text := line.getMessage())]
    assert sum("is away" in line for line in mine) == 1
    assert sum("is back after" in line for line in mine) == 1


@pytest.mark.gen_test
async def test_the_subscription_is_back_as_soon_as_commands(
    make_redis, make_engine, attached, expect_log
):
    """The subscription does not wait for the end of its pause, which grows with each attempt."""
    server = make_redis()
    here = make_engine(server.url, backoff=10)
    feed = await attached(here)
    with expect_log("tatsumaki", "Redis at .* is (away|back)") as lines:
        server.kill()
        await feed.until(lambda: lines)
        await asyncio.sleep(0.1)
        await asyncio.to_thread(server.start)
        await feed.until(lambda: len(lines) == 2)
    assert here.session().feeding.channels["room"].subscribed


def test_a_loop_ends_while_redis_is_away(make_engine, expect_log):
    """If a loop ends while Redis is away, the next loop is not affected."""
    engine = make_engine("redis://127.0.0.1:1", **OPTIONS)

    async def attach():
        engine.attach(Feed("room", {}))
        await asyncio.sleep(0.1)
        return Snapshot.take().engine_up

    async def close():
        await engine.close()
        return Snapshot.take().engine_up

    with expect_log("tatsumaki", "is away"):
        assert asyncio.run(attach()) == 0
    assert asyncio.run(close()) == 1


@pytest.mark.gen_test
async def test_never_there(make_engine, expect_log):
    """If Redis was never there, clients that need it get an error immediately, each time."""
    engine = make_engine("redis://user:secret@127.0.0.1:1", **OPTIONS)
    feed = Feed("room", {})
    with expect_log("tatsumaki", r"^Redis at 127\.0\.0\.1:1 is away: Error 111") as lines:
        engine.attach(feed)
        await asyncio.sleep(0.2)
        assert len(feed.failures) >= 1
        engine.attach(feed)
        count = len(feed.failures)
        await feed.until(lambda: len(feed.failures) > count)
    assert len(lines) == 1


@pytest.mark.gen_test
async def test_a_script_of_another_program_hangs(make_redis, make_engine, attached, expect_log):
    """While Redis answers BUSY, publishes wait and keep their order."""
    server = make_redis(lua_time_limit=10)
    engine = make_engine(server.url, **OPTIONS | {"publish_timeout": 3})
    feed = await attached(engine)
    loop = asyncio.get_running_loop()
    script = "while true do end"
    hung = loop.run_in_executor(None, hang, server, script)
    await asyncio.sleep(0.05)
    with expect_log("tatsumaki", "Redis at .* is (away: .*BUSY|back)"):
        waiting = [
            engine.publish(feed, bodies(n), idempotency_key=f"{n}" if n % 3 else None)
            for n in range(9)
        ]
        await asyncio.sleep(0.1)
        server.ask("SCRIPT", "KILL")
        await hung
        await asyncio.gather(*waiting)
        await feed.has(*range(9))
        await feed.until(lambda: Snapshot.take().engine_up == 1)


def hang(server, script):
    # `ask` would not wait long enough for this answer.
    with contextlib.suppress(OSError):
        server.ask("EVAL", script, 0)


@pytest.mark.gen_test
async def test_the_last_events_before_the_end(make_redis, make_engine, expect_log, monkeypatch):
    """A process that stops sends its last events to Redis."""
    server = make_redis()
    engine = make_engine(server.url)
    answers = [engine.publish(Feed("room", {}), bodies(n)) for n in range(5)]
    await engine.close()
    assert [len(await one) for one in answers] == [1] * 5
    monkeypatch.setattr(publishing, "CLOSE", 0.1)
    engine = make_engine("redis://127.0.0.1:1", backoff=0.01)
    late = engine.publish(Feed("room", {}), bodies(5))
    with expect_log("tatsumaki", "is away"):
        closing = asyncio.ensure_future(engine.close())
        with pytest.raises(Error.HTTP) as raised:
            await late
    assert raised.value.code == 503
    await closing

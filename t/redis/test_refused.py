"""If Redis refuses commands, the log says why in one line, even if this lasts for a long time."""

import asyncio
import re

import pytest
from engine.feed import Feed, answer, bodies

from tatsumaki_py import Error, MessageQueue
from tatsumaki_py.message_queue.engine.redis.replies import is_passing

OPTIONS = {"backoff": 0.01, "max_backoff": 0.02, "publish_timeout": 0.3}


@pytest.fixture
def chat(make_redis):
    """`server, url = chat("+@all", "~*")` returns a server and a URL whose user has these
    rights.
    """

    def make(*rights):
        server = make_redis()
        server.ask("ACL", "SETUSER", "chat", "on", ">secret", *rights)
        return server, server.url.replace("//", "//chat:secret@")

    return make


async def refused(engine, feed, *numbers):
    with pytest.raises(Error.HTTP) as raised:
        await engine.publish(feed, bodies(*numbers))
    assert raised.value.code == 503


def connections(server):
    return int(server.ask("INFO", "stats").partition("connections_received:")[2].split()[0])


@pytest.mark.gen_test
async def test_a_user_without_channels(chat, make_engine, attached, expect_log):
    """No part of a failed publish is kept, and connections are not opened in a loop."""
    server, url = chat("+@all", "~*", "resetchannels")
    engine = make_engine(url, **OPTIONS)
    feed = Feed("room", {})
    with expect_log("tatsumaki", "refused events|is away|is back") as lines:
        engine.attach(feed)
        await feed.until(lambda: feed.loads)
        for n in (1, 2, 3):
            await refused(engine, feed, n, n)
        before = connections(server)
        await asyncio.sleep(0.2)
        assert connections(server) - before < 40
        server.ask("ACL", "SETUSER", "chat", "allchannels")
        await feed.until(lambda: len(lines) == 3)
    away, publish, back = [line.getMessage() for line in lines]
    assert re.search("is away: .*no permissions to access", away, re.IGNORECASE)
    assert "lists the permissions of the ACL user" in publish
    assert "is back" in back
    await asyncio.gather(*(engine.publish(feed, bodies(n)) for n in (4, 5)))
    assert (await attached(make_engine(url))).numbers == feed.numbers == [4, 5]


@pytest.mark.parametrize(
    ("login", "db", "text"),
    [
        ("chat:wrong@", 0, "refused the login: check the user and the password"),
        ("chat:secret@", 99, "refused the connection: DB index is out of range"),
        ("", 0, "requires a password: give it in the URL or as an option"),
    ],
)
@pytest.mark.gen_test
async def test_connections(chat, connect, login, db, text):
    server, _ = chat("+@all", "~*")
    server.ask("CONFIG", "SET", "requirepass", "other")
    url = f"redis://{login}127.0.0.1:{server.port}/{db}"
    (error,) = await connect(url).run([("PING",)])
    assert (text in str(error), is_passing(error)) == (True, True)
    assert "secret" not in str(error)


@pytest.mark.gen_test
async def test_the_password_changes(chat, make_engine, attached, expect_log):
    """Open connections stay. New ones are refused until the old password is valid again."""
    server, url = chat("+@all", "~*", "&*")
    engine = make_engine(url, **OPTIONS)
    feed = await attached(engine)
    with expect_log("tatsumaki", "is away: .* check the user and the password|is back") as lines:
        server.ask("ACL", "SETUSER", "chat", "resetpass", ">other")
        await engine.publish(feed, bodies(1))
        server.ask("CLIENT", "KILL", "USER", "chat")
        await refused(engine, feed, 2)
        server.ask("ACL", "SETUSER", "chat", ">secret")
        await feed.until(lambda: len(lines) == 2)
    await engine.publish(feed, bodies(3))
    await feed.has(1, 3)


@pytest.mark.gen_test
async def test_older_events_are_refused(chat, make_engine, attached, expect_log):
    """Older events that cannot be read are not lost, so no client gets a gap."""
    server, url = chat("+@all", "~*", "&*")
    engine = make_engine(url)
    feed = await attached(engine)
    server.ask("ACL", "SETUSER", "chat", "-evalsha", "-eval")
    text = "events of channel 'room' could not be read: .* permission"
    with expect_log("tatsumaki", text) as lines:
        for _ in range(3):
            with pytest.raises(Error.HTTP) as raised:
                await answer(engine.history(feed, "1-1", 10))
            assert raised.value.code == 503
    assert len(lines) == 1


@pytest.mark.gen_test
async def test_too_many_clients(make_redis, make_engine, attached, expect_log):
    server = make_redis(maxclients=3)
    others = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(3)]
    engine = make_engine(server.url, **OPTIONS)
    with expect_log("tatsumaki", "is away: max number of clients reached|is back") as lines:
        await refused(engine, Feed("room", {}), 1)
        for _, writer in others:
            writer.close()
        await (await attached(engine)).until(lambda: len(lines) == 2)


@pytest.mark.gen_test
async def test_keys_of_another_program(make_engine, redis_server, expect_log):
    """If the keys belong to another program, clients of the channel must retry until the keys are
    gone.
    """
    engine = make_engine(redis_server.url, **OPTIONS)
    redis_server.ask("XADD", "tats:{alien}:s", "*", "a", "b")
    redis_server.ask("SET", "tats:{string}:s", "a")
    feeds = [Feed(name, {}) for name in ("alien", "string")]
    with expect_log("tatsumaki", "channel 'alien' could not be read: ") as lines:
        for feed in feeds:
            engine.attach(feed)
            await feed.until(lambda feed=feed: len(feed.failures) > 1)
    assert len(lines) == 1
    for feed in feeds:
        assert {error.code for error in feed.failures} == {503}
        redis_server.ask("DEL", f"tats:{{{feed.name}}}:s")
        await feed.until(lambda feed=feed: feed.loads)
        await engine.publish(feed, bodies(1))
        await feed.has(1)


@pytest.mark.gen_test
async def test_an_event_that_follows_nothing(make_engine, redis_server, attached):
    """If an event does not follow the one before it, the channel is loaded starting after the
    break.
    """
    engine = make_engine(redis_server.url)
    feed = await attached(engine)
    await engine.publish(feed, bodies(1))
    redis_server.ask("XADD", "tats:{room}:s", "*", "e", '1-1 0  {"n":2}')
    await asyncio.sleep(0.002)
    await engine.publish(feed, bodies(3, 4))
    assert (await attached(make_engine(redis_server.url))).numbers == [3, 4]


@pytest.mark.gen_test
async def test_a_server_starts(expect_log):
    """The log reports at startup, not at the first request, that Redis is away."""
    MessageQueue.configure("redis://127.0.0.1:1")
    with expect_log("tatsumaki", "Redis at 127.0.0.1:1 is away") as lines:
        engine = MessageQueue._registry.engine
        while not lines:
            await asyncio.sleep(0.001)
    await engine.close()

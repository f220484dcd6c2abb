"""The engine needs only the rights of the user that docs/guide/engines.md describes."""

import re

import pytest
from engine.feed import Clients, Feed, answer, bodies
from support.program import ROOT

PAGE = (ROOT / "docs/guide/engines.md").read_text()
(RIGHTS,) = re.findall(r"^ACL SETUSER chat on >secret (.*)$", PAGE, re.M)
MORE = re.findall(
    r"`(\+[a-z|]+)`", PAGE.partition("### A Redis user for the engine")[2].partition("\n## ")[0]
)


async def work(name, engine, other):
    """Do everything that the engine does with keys and channels."""
    feeds = [Feed(name, {"backlog_length": 2}) for _ in range(2)]
    for one, feed in zip((engine, other), feeds, strict=True):
        one.open(feed)
        one.attach(feed)
        await feed.until(lambda feed=feed: feed.loads)
    await engine.publish(feeds[0], bodies(1, 2, 3))
    first = await engine.publish(feeds[0], bodies(4), idempotency_key="k")
    assert await other.publish(feeds[1], bodies(4), idempotency_key="k") == first
    await feeds[1].has(1, 2, 3, 4)
    late = Feed(name, {})
    late.load(feeds[0].top, feeds[0].entries[-1:])
    assert len(await answer(other.history(late, feeds[0].entries[0].id, 10))) == 2
    for one in (engine, other):
        one.presence.connect(Clients())
    channels = (name,)
    assert await engine.presence.arrive(channels, "alice", "", 30.0)
    other.remember(channels, "alice", first[0], 60)
    assert not await other.presence.arrive(channels, "alice", "", 30.0)
    assert await answer(other.recall(channels, "alice")) == first[0]
    assert await other.presence.gone(channels, "alice")
    assert await answer(engine.recall(channels, "alice")) == first[0]
    await engine.presence.count(channels)
    other.detach(feeds[1])
    return feeds


@pytest.mark.gen_test
async def test_one_server(make_redis, make_engine):
    server = make_redis()
    server.ask("ACL", "SETUSER", "chat", "on", ">secret", *RIGHTS.split())
    url = server.url.replace("//", "//chat:secret@")
    engines = [make_engine(url, probe_interval=0.1, check_interval=0.1) for _ in range(2)]
    feeds = await work("room", *engines)
    await feeds[0].until(lambda: server.calls().get("mget"))
    # Without +info, the engine cannot read the memory policy, but still works.
    refused = set(re.findall(r"\$6\r\nobject\r\n\$\d+\r\n(\S+)", server.ask("ACL", "LOG")))
    assert refused == {"info"}
    server.ask("ACL", "SETUSER", "chat", *[right for right in MORE if "cluster" not in right])
    server.ask("ACL", "LOG", "RESET")
    await work("hall", *[make_engine(url) for _ in range(2)])
    assert server.ask("ACL", "LOG") == "*0"


@pytest.mark.gen_test
async def test_what_the_user_may_not(connect, make_redis):
    """The user may not use keys and channels of other programs, or commands that list or delete
    everything.
    """
    server = make_redis()
    server.ask("ACL", "SETUSER", "chat", "on", ">secret", *RIGHTS.split(), *MORE)
    connections = connect(server.url.replace("//", "//chat:secret@"))
    calls = ["GET other", "PUBLISH other 1", "KEYS *", "FLUSHALL", "CONFIG GET *", "CLIENT LIST"]
    replies = await connections.run([call.split() for call in calls])
    assert [type(reply).__name__ for reply in replies] == ["NoPermissionError"] * len(calls)


@pytest.mark.gen_test
async def test_cluster(make_engine, redis_cluster):
    for node in redis_cluster.nodes:
        node.ask("ACL", "SETUSER", "chat", "on", ">secret", *RIGHTS.split(), *MORE)
        node.ask("ACL", "LOG", "RESET")
    url = redis_cluster.url.replace("//", "//chat:secret@")
    await work("room", *[make_engine(url, check_interval=0.1) for _ in range(2)])
    assert [node.ask("ACL", "LOG") for node in redis_cluster.nodes] == ["*0"] * 3

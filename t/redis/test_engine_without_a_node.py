"""If one node of a cluster is away, the channels of the other nodes continue."""

import asyncio
import time

import pytest
from engine.feed import Feed, bodies

from tatsumaki_py.error import HTTPError

NAMES = [f"room{number}" for number in range(12)]


@pytest.mark.gen_test
async def test_one_node_is_silent(make_cluster, make_engine, log_watch):
    """Publishes to channels of the silent node fail; publishes to the others wait for it only once,
    and succeed. The log has one line when the node goes away and one when it is back.
    """
    cluster = make_cluster(cluster_require_full_coverage="no")
    engine = make_engine(cluster.url, probe_interval=0.5, publish_timeout=1.8)
    feeds = {name: Feed(name, {}) for name in NAMES}
    for feed in feeds.values():
        engine.open(feed)
        engine.attach(feed)
        await feed.until(lambda feed=feed: feed.loads)
    silent = cluster.nodes[2]
    gone = {name for name in NAMES if cluster.node_of(f"{{{name}}}") is silent}
    there = {*NAMES} - gone

    async def publish(name, number):
        began = time.monotonic()
        await engine.publish(feeds[name], bodies(number))
        return time.monotonic() - began

    async def publish_all(number):
        calls = [publish(name, number) for name in NAMES]
        results = await asyncio.gather(*calls, return_exceptions=True)
        return dict(zip(NAMES, results, strict=True))

    with log_watch.expect("tatsumaki", "Redis") as lines:
        silent.pause()
        results = await publish_all(0)
        assert max(results[name] for name in there) < 1.4
        for number in (1, 2):
            results = await publish_all(number)
            assert max(results[name] for name in there) < 0.6
            assert {results[name].code for name in gone} == {503}
        assert all(isinstance(results[name], HTTPError) for name in gone)
        silent.resume()
        while any(isinstance(result, HTTPError) for result in (await publish_all(5)).values()):
            await asyncio.sleep(0.05)
        await feeds[NAMES[0]].until(lambda: len(lines) > 1)
    for name in NAMES:
        await feeds[name].until(lambda name=name: feeds[name].numbers[-1:] == [5])
        kept = [number for number in feeds[name].numbers if number != 5]
        # The node may or may not have received the first event before it became silent.
        assert kept == [0, 1, 2] if name in there else kept in ([], [0])
    said = [line.getMessage() for line in lines]
    assert len(said) == 2
    assert said[0].startswith(f"the node 127.0.0.1:{silent.port} of the Redis cluster is away: ")
    assert said[1] == "all nodes of the Redis cluster are back"


@pytest.mark.gen_test
async def test_one_node_refuses_writes(redis_cluster, make_engine, log_watch):
    """A node that refuses writes is away, and the other nodes continue."""
    cluster = redis_cluster
    engine = make_engine(cluster.url, publish_timeout=5)
    node = cluster.nodes[2]
    node.ask("CONFIG", "SET", "min-replicas-to-write", 1)
    feeds = [Feed(name, {}) for name in NAMES]
    with log_watch.expect("tatsumaki", "Redis") as lines:
        calls = [asyncio.ensure_future(engine.publish(feed, bodies(1))) for feed in feeds]
        await asyncio.sleep(0.2)
        done = {feed.name for feed, call in zip(feeds, calls, strict=True) if call.done()}
        assert done == {name for name in NAMES if cluster.node_of(f"{{{name}}}") is not node}
        await feeds[0].until(lambda: lines)
        node.ask("CONFIG", "SET", "min-replicas-to-write", 0)
        await asyncio.gather(*calls)
        await feeds[0].until(lambda: len(lines) == 2)
    said = [line.getMessage() for line in lines]
    assert "is away: NOREPLICAS Not enough good replicas to write." in said[0]
    assert said[1] == "all nodes of the Redis cluster are back"


@pytest.mark.gen_test
async def test_a_publish_while_another_is_repeated(redis_cluster, make_engine, log_watch):
    """A publish during the repetition of another is a separate call: the node may already know the
    other one.
    """
    engine = make_engine(redis_cluster.url, command_timeout=0.2)
    feed = Feed(NAMES[0], {})
    engine.open(feed)
    engine.attach(feed)
    await feed.until(lambda: feed.loads)
    await engine.publish(feed, bodies(0))
    node = redis_cluster.node_of(f"{{{feed.name}}}")
    with log_watch.expect("tatsumaki", "of the Redis cluster (is away|are back)") as lines:
        node.pause()
        first = asyncio.ensure_future(engine.publish(feed, bodies(1)))
        await feed.until(lambda: lines)
        second = asyncio.ensure_future(engine.publish(feed, bodies(2)))
        await asyncio.sleep(0.1)
        node.resume()
        ids = await first + await second
        await feed.until(lambda: len(lines) == 2)
    await feed.has(0, 1, 2)
    assert [entry.id for entry in feed.entries][1:] == ids
    assert node.ask("XLEN", f"tats:{{{feed.name}}}:s") == ":3"

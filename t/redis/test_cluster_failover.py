"""When a master of a cluster dies, its replica takes over, and its channels continue there."""

import asyncio

import pytest
from engine.feed import Feed, bodies

OPTIONS = {"connect_timeout": 0.5, "publish_timeout": 15, "max_backoff": 0.5}
NAMES = [f"room{number}" for number in range(6)]


def back(lines):
    return [line for line in lines if "are back" in line.getMessage()]


@pytest.mark.gen_test(timeout=30)
async def test_failover(make_cluster, make_engine, log_watch):
    """Publishes of two processes wait for the failover, and no replicated event is lost."""
    quick = {"cluster_node_timeout": 500, "repl_diskless_sync_delay": 0}
    cluster = make_cluster(cluster_require_full_coverage="no", **quick)
    master = cluster.nodes[2]
    name = next(one for one in NAMES if cluster.node_of(f"{{{one}}}") is master)
    replica = await asyncio.to_thread(cluster.add_replica, master)
    engines = [make_engine(cluster.url, **OPTIONS) for _ in range(2)]
    feeds = [Feed(name, {}) for _ in engines]
    for engine, feed in zip(engines, feeds, strict=True):
        engine.open(feed)
        engine.attach(feed)
        await feed.until(lambda feed=feed: feed.loads)
    await engines[0].publish(feeds[0], bodies(1))
    await feeds[1].has(1)
    # Redis replicates an event only after it has answered.
    await feeds[0].until(lambda: replica.ask("DBSIZE") == master.ask("DBSIZE"))
    with log_watch.expect("tatsumaki", "of the Redis cluster (is away|are back)") as lines:
        master.kill()
        waiting = [engines[n].publish(feeds[n], bodies(n + 2)) for n in range(2)]
        await asyncio.gather(*waiting)
        for feed in feeds:
            await feed.until(lambda feed=feed: sorted(feed.numbers) == [1, 2, 3])
            assert feed.loads == 1
        # Each engine that noticed the outage logs its beginning and its end once.
        await feeds[0].until(lambda: lines and len(back(lines)) * 2 == len(lines))
    assert len(back(lines)) <= 2

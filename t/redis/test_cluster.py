"""Commands and subscriptions work in a cluster, even while a slot moves or a node is away."""

import asyncio
import time

import pytest
from redis.exceptions import ConnectionError, ResponseError

from tatsumaki_py.message_queue.engine.redis.absent import NodeAway

KEYS = [f"{{k{number}}}" for number in range(30)]  # in slots of all three nodes


async def acknowledged(subscriber, *channels):
    """Read until all of `channels` are subscribed, and return the other messages."""
    left, others = set(channels), []
    while left:
        kind, channel, data = await subscriber.read()
        if kind == b"subscribe":
            left.discard(channel.decode())
        else:
            others.append((kind, channel, data))
    return others


@pytest.mark.gen_test
async def test_commands_of_all_slots_in_one_batch(connect, redis_cluster):
    connections = connect(redis_cluster.url)
    calls = [(command, key, "1") for key in KEYS for command in ("SET", "APPEND")]
    replies = await connections.run([*calls, ("PING",), ("GET", KEYS[0]), ("NOTHING", KEYS[0])])
    assert replies[: len(calls)] == [b"OK", 2] * len(KEYS)
    assert replies[-3:-1] == [b"PONG", b"11"]
    assert isinstance(replies[-1], ResponseError)
    assert await connections.values([*KEYS, "{k0}none"]) == [b"11"] * len(KEYS) + [None]
    assert len({redis_cluster.node_of(key) for key in KEYS}) == 3


@pytest.mark.gen_test
async def test_a_slot_moves(connect, redis_cluster):
    """Before, during and after the move of a slot's keys, each command finds its key, in order."""
    source = redis_cluster.node_of("{a}")
    target = next(node for node in redis_cluster.nodes if node is not source)
    connections = connect(redis_cluster.url)

    async def append(text):
        return await connections.run([("APPEND", "{a}", one) for one in text])

    await append("ab")
    redis_cluster.begin_move("{a}", target)
    assert await append("cd") == [3, 4]
    assert await connections.run([("SET", "{a}new", "1")]) == [b"OK"]
    redis_cluster.move_keys("{a}", target)
    assert await append("ef") == [5, 6]
    # A command with two keys, one of them missing, must wait for the end of the move.
    (error,) = await connections.run([("EVALSHA", "0" * 40, 2, "{a}", "{a}none")])
    assert isinstance(error, NodeAway)
    redis_cluster.end_move("{a}", target)
    assert await append("gh") == [7, 8]
    assert await connections.values(["{a}", "{a}new"]) == [b"abcdefgh", b"1"]
    redis_cluster.move("{a}", source)
    assert await append("i") == [9]


@pytest.mark.gen_test
async def test_subscriptions_on_all_nodes(connect, redis_cluster):
    connections = connect(redis_cluster.url)
    assert connections.publish_command == "SPUBLISH"
    subscriber = await connections.subscriber()
    await subscriber.subscribe(*KEYS)
    await acknowledged(subscriber, *KEYS)
    replies = await connections.run([("SPUBLISH", key, key) for key in KEYS])
    assert replies == [1] * len(KEYS)
    came = [await subscriber.read() for _ in KEYS]
    assert sorted(came) == sorted([b"message", key.encode(), key.encode()] for key in KEYS)
    await subscriber.unsubscribe(*KEYS[1:])
    assert {(await subscriber.read())[0] for _ in KEYS[1:]} == {b"unsubscribe"}
    assert await connections.run([("SPUBLISH", key, "2") for key in KEYS]) == [1] + [0] * 29
    assert await subscriber.read() == [b"message", KEYS[0].encode(), b"2"]
    await subscriber.close()
    with pytest.raises(ConnectionError):
        await subscriber.read()


@pytest.mark.gen_test
async def test_a_subscription_follows_its_slot(connect, redis_cluster):
    """The channel is confirmed again at the other node; channels of other slots are not
    affected.
    """
    source = redis_cluster.node_of("{a}")
    target = next(node for node in redis_cluster.nodes if node is not source)
    connections = connect(redis_cluster.url)
    subscriber = await connections.subscriber()
    await subscriber.subscribe("{a}", "{b}")
    await acknowledged(subscriber, "{a}", "{b}")
    for node in (target, source):
        redis_cluster.move("{a}", node)
        assert await acknowledged(subscriber, "{a}") == []
        assert await connections.run([("SPUBLISH", "{a}", "1")]) == [1]
        assert await subscriber.read() == [b"message", b"{a}", b"1"]
    await connections.run([("SPUBLISH", "{b}", "2")])
    assert await subscriber.read() == [b"message", b"{b}", b"2"]
    await subscriber.close()


@pytest.mark.gen_test
async def test_a_map_that_is_old(connect, redis_cluster):
    """If a slot has moved before its first use, its old node redirects the command."""
    source = redis_cluster.node_of("{a}")
    target = next(node for node in redis_cluster.nodes if node is not source)
    connections = connect(redis_cluster.url)
    subscriber = await connections.subscriber()
    redis_cluster.move("{a}", target)
    await subscriber.subscribe("{a}")
    await acknowledged(subscriber, "{a}")
    assert await connections.run([("SPUBLISH", "{a}", "1")]) == [1]
    redis_cluster.move("{a}", source)
    await subscriber.close()


@pytest.mark.gen_test
async def test_a_lost_connection(connect, redis_cluster):
    """Channels of the lost node are confirmed again; other channels are not affected."""
    connections = connect(redis_cluster.url)
    subscriber = await connections.subscriber()
    await subscriber.subscribe(*KEYS)
    await acknowledged(subscriber, *KEYS)
    node = redis_cluster.nodes[1]
    node.ask("CLIENT", "KILL", "TYPE", "pubsub")
    mine = [key for key in KEYS if redis_cluster.node_of(key) is node]
    assert await acknowledged(subscriber, *mine) == []
    await connections.run([("SPUBLISH", key, "1") for key in KEYS])
    assert len([await subscriber.read() for _ in KEYS]) == len(KEYS)
    await subscriber.close()


@pytest.mark.gen_test
async def test_nodes_are_away(connect, make_cluster, log_watch):
    """A silent node is given up after a timeout and awaited, with one log line. If no node answers,
    the subscriber ends.
    """
    cluster = make_cluster(cluster_require_full_coverage="no")
    connections = connect(cluster.url, probe_interval=0.3, command_timeout=0.6, connect_timeout=0.6)
    subscriber = await connections.subscriber()
    await subscriber.subscribe(*KEYS)
    await acknowledged(subscriber, *KEYS)
    silent = cluster.nodes[2]
    silent.pause()
    mine = [key for key in KEYS if cluster.node_of(key) is silent]
    others = [key for key in KEYS if key not in mine]
    with log_watch.expect("tatsumaki", "the node .* of the Redis cluster is away: it is silent"):
        await asyncio.sleep(2.0)
        replies = await connections.run([("SPUBLISH", key, "1") for key in KEYS])
    assert [key for key, reply in zip(KEYS, replies, strict=True) if reply == 1] == others
    assert sorted([(await subscriber.read())[1].decode() for _ in others]) == sorted(others)
    with log_watch.expect("tatsumaki", "all nodes of the Redis cluster are back"):
        silent.resume()
        await acknowledged(subscriber, *mine)
    for node in cluster.nodes:
        node.kill()
    began = time.monotonic()
    with pytest.raises(ConnectionError, match="no node of the cluster answers"):
        await subscriber.read()
    assert time.monotonic() - began < 5
    await subscriber.close()


@pytest.mark.gen_test
async def test_the_wrong_kind(connect, redis_cluster, redis_server):
    (error,) = await connect(redis_cluster.url.replace("+cluster", "")).run([("PING",)])
    assert "use a URL that begins with redis+cluster://" in str(error)
    with pytest.raises(ConnectionError, match="is not a node of a cluster"):
        await connect(f"redis+cluster://127.0.0.1:{redis_server.port}").subscriber()

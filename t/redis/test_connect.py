"""Commands and pub/sub work over real connections to one server."""

import asyncio
import time

import pytest
from redis.exceptions import ConnectionError, ResponseError, TimeoutError


@pytest.mark.gen_test
async def test_replies(connect, redis_server):
    """Replies arrive in order, and an error takes the place of its reply."""
    connections = connect(redis_server.url)
    calls = [("SET", "a", b"\xff"), ("GET", "a"), ("NOTHING",), ("GET", "b")]
    ok, value, error, nothing = await connections.run(calls)
    assert (ok, value, nothing) == (b"OK", b"\xff", None)
    assert isinstance(error, ResponseError)
    assert await connections.run([]) == []
    assert await connections.values(["b", "a"] * 1500) == [None, b"\xff"] * 1500


@pytest.mark.gen_test
async def test_a_few_connections_serve_many_batches(connect, redis_server):
    connections = connect(redis_server.url)
    replies = await asyncio.gather(*(connections.run([("INCR", "n")]) for _ in range(50)))
    assert sorted(reply for (reply,) in replies) == list(range(1, 51))
    assert redis_server.ask("CLIENT", "LIST").count("name=tatsumaki") <= 4


@pytest.mark.gen_test
async def test_a_connection_that_was_closed_is_not_used(connect, redis_server):
    connections = connect(redis_server.url)
    await connections.run([("PING",)])
    redis_server.ask("CLIENT", "KILL", "TYPE", "normal")
    await asyncio.sleep(0.02)
    assert await connections.run([("PING",)]) == [b"PONG"]


@pytest.mark.gen_test
async def test_nobody_listens(connect):
    replies = await connect("redis://127.0.0.1:1").run([("PING",), ("PING",)])
    assert [type(reply) for reply in replies] == [ConnectionError] * 2


@pytest.mark.gen_test
async def test_no_answer(connect, make_redis):
    """A server that stops answering delays a batch, or a new connection, only until its timeout."""
    server = make_redis()
    connections = connect(server.url, command_timeout=0.1, connect_timeout=0.2)
    await connections.run([("PING",)])
    server.pause()
    began = time.monotonic()
    replies = await connections.run([("PING",)])  # over the open connection
    replies += await connections.run([("PING",)])  # over a new one
    assert [type(reply) for reply in replies] == [TimeoutError] * 2
    with pytest.raises(TimeoutError, match=f"{server.port} did not answer within 0.2 s"):
        await connections.subscriber()
    assert 0.5 <= time.monotonic() - began < 2
    server.resume()
    assert await connections.run([("PING",)]) == [b"PONG"]


@pytest.mark.gen_test
async def test_subscriptions(connect, redis_server):
    connections = connect(redis_server.url)
    subscriber = await connections.subscriber()
    await subscriber.subscribe("a", "b")
    assert [await subscriber.read() for _ in "ab"] == [
        [b"subscribe", b"a", 1],
        [b"subscribe", b"b", 2],
    ]
    await connections.run([("PUBLISH", "a", "1"), ("PUBLISH", "b", "2")])
    assert [await subscriber.read() for _ in "ab"] == [
        [b"message", b"a", b"1"],
        [b"message", b"b", b"2"],
    ]
    await subscriber.unsubscribe("a")
    await subscriber.unsubscribe()
    assert await subscriber.read() == [b"unsubscribe", b"a", 1]
    redis_server.ask("CLIENT", "KILL", "TYPE", "pubsub")
    with pytest.raises(ConnectionError):
        await subscriber.read()
    with pytest.raises(ConnectionError):
        await subscriber.read()
    await subscriber.close()


@pytest.mark.gen_test
async def test_a_unix_socket(connect, make_redis, tmp_path):
    path = tmp_path / "r.sock"
    make_redis(unixsocket=path)
    connections = connect(f"unix://{path}?db=3")
    await connections.run([("SET", "a", "1")])
    (clients,) = await connections.run([("CLIENT", "LIST")])
    assert b"db=3" in clients


@pytest.mark.gen_test
async def test_a_warning_about_eviction(connect, make_redis, log_watch):
    """The warning is logged once for all connections of an engine, and only if memory is
    limited.
    """
    server = make_redis(maxmemory="100mb", maxmemory_policy="allkeys-lru")
    connections = connect(server.url)
    with log_watch.expect("tatsumaki", "may evict any key.*allkeys-lru") as records:
        await connections.run([("PING",)])
        await (await connections.subscriber()).close()
    assert len(records) == 1
    server.ask("CONFIG", "SET", "maxmemory", "0")
    assert await connect(server.url).run([("PING",)]) == [b"PONG"]


@pytest.mark.gen_test
async def test_no_password_in_any_text(connect, make_redis):
    server = make_redis()
    server.ask("CONFIG", "SET", "requirepass", "right")
    url = f"redis://:wr0ng@127.0.0.1:{server.port}"
    connections = connect(url)
    (error,) = await connections.run([("PING",)])
    assert "invalid username-password" in str(error)
    with pytest.raises(ConnectionError) as raised:
        await connections.subscriber()
    texts = f"{error!r}{error}{raised.value!r}{connections!r}{vars(connections)!r}"
    assert "wr0ng" not in texts
    assert await connect(url.replace("wr0ng", "right")).run([("PING",)]) == [b"PONG"]


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (b"-ERR unknown command `HELLO`, with args beginning with: \r\n", "does not know HELLO"),
        (b"*8\r\n$7\r\nversion\r\n$5\r\n6.0.9\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n"
         b"$4\r\nrole\r\n$6\r\nmaster\r\n$5\r\nproto\r\n:2\r\n", "is Redis 6.0.9"),
    ],
)  # fmt: skip
async def test_a_server_that_is_too_old(connect, reply, said):
    """A server that answers HELLO like an old Redis is refused. (No such Redis can be installed
    here.)
    """

    async def answer(reader, writer):
        await reader.readline()
        writer.write(reply)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(ConnectionError, match=f":{port} {said}: Redis 6.2 or later is needed"):
        await connect(f"redis://127.0.0.1:{port}").subscriber()
    server.close()
    await server.wait_closed()

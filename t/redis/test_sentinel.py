"""Commands go to the master that Sentinel names, even after a failover."""

import asyncio
import re

import pytest
from redis.exceptions import ConnectionError, ReadOnlyError
from support.program import ROOT

PAGE = (ROOT / "docs/guide/engines.md").read_text()


async def reached(connections, port):
    """Run a command until it reaches the server on `port`, within a few attempts."""
    for _ in range(100):
        (reply,) = await connections.run([("CONFIG", "GET", "port")])
        if reply == [b"port", b"%d" % port]:
            return True
        await asyncio.sleep(0.02)
    return False


async def subscribed(connections):
    """Connect a new subscriber to "a", within a few attempts."""
    for _ in range(100):
        try:
            subscriber = await connections.subscriber()
        except ConnectionError:
            await asyncio.sleep(0.02)
            continue
        await subscriber.subscribe("a")
        assert await subscriber.read() == [b"subscribe", b"a", 1]
        return subscriber
    return None


@pytest.mark.gen_test
async def test_failover(connect, make_watched):
    """Connections leave the old master, which continues as a replica, and later one that crashed. A
    missing sentinel causes no error.
    """
    watched = make_watched()
    first, second = watched.servers
    connections = connect(watched.url.replace("//", "//127.0.0.1:1,"), connect_timeout=0.5)
    assert await reached(connections, first.port)
    subscriber = await subscribed(connections)

    watched.fail_over()
    with pytest.raises(ConnectionError):
        await subscriber.read()
    await subscriber.close()
    assert await reached(connections, second.port)
    subscriber = await subscribed(connections)
    await connections.run([("PUBLISH", "a", "1")])
    assert await subscriber.read() == [b"message", b"a", b"1"]
    assert b"name=tatsumaki" not in first.ask("CLIENT", "LIST").encode()

    second.kill()
    with pytest.raises(ConnectionError):
        await subscriber.read()
    await subscriber.close()
    (error,) = await connections.run([("PING",)])
    assert isinstance(error, ConnectionError)
    watched.wait_for_another(second)
    assert await reached(connections, first.port)


@pytest.mark.gen_test
async def test_an_old_master_is_left_before_it_knows(connect, make_watched):
    """Sentinel reports the failover immediately, but the old master only after four periods."""
    watched = make_watched()
    first, second = watched.servers
    watched.sentinel.ask("SENTINEL", "DEBUG", "PUBLISH-PERIOD", 2000)
    connections = connect(watched.url)
    subscriber = await subscribed(connections)
    assert await connections.run([("SET", "a", "1")]) == [b"OK"]
    await asyncio.get_running_loop().run_in_executor(None, watched.promote)
    with pytest.raises(ConnectionError):
        await subscriber.read()
    assert "master" in first.ask("ROLE")
    assert await reached(connections, second.port)
    await subscriber.close()


@pytest.mark.gen_test
async def test_a_replica_is_not_used(connect, make_watched):
    """A replica is refused if its address is in a URL or if Sentinel still calls it the master."""
    watched = make_watched()
    master, replica = watched.servers
    (error,) = await connect(replica.url).run([("PING",)])
    assert f"127.0.0.1:{replica.port} is a replica, which accepts no writes" in str(error)
    watched.sentinel.pause()
    connections = connect(watched.url, connect_timeout=0.2)
    (error,) = await connections.run([("PING",)])
    assert "no master of 'chat' was found: sentinel 127.0.0.1:" in str(error)
    watched.sentinel.resume()
    assert await connections.run([("SET", "a", "1")]) == [b"OK"]
    # Without Sentinel, the connection is not closed.
    replica.ask("REPLICAOF", "NO", "ONE")
    master.ask("REPLICAOF", "127.0.0.1", replica.port)
    (error,) = await connections.run([("SET", "a", "2")])
    assert isinstance(error, ReadOnlyError)
    (error,) = await connections.run([("SET", "a", "2")])
    assert f"{master.port} is a replica" in str(error)


@pytest.mark.gen_test
async def test_another_name_or_kind(connect, make_watched):
    watched = make_watched()
    sentinel, master = watched.sentinel.port, watched.servers[0].port
    for url, said in [
        (f"redis+sentinel://127.0.0.1:{sentinel}/game", "no service has this name"),
        (f"redis://127.0.0.1:{sentinel}", "use a URL that begins with redis\\+sentinel://"),
        (f"redis+sentinel://127.0.0.1:{master}/chat", "unknown command"),
    ]:
        with pytest.raises(Exception, match=said):
            await connect(url).subscriber()


@pytest.mark.gen_test
async def test_passwords(connect, make_watched):
    """The sentinels and the servers have different passwords."""
    watched = make_watched()
    for server in watched.servers:
        server.ask("CONFIG", "SET", "masterauth", "one")
        server.ask("CONFIG", "SET", "requirepass", "one")
    watched.sentinel.ask("SENTINEL", "SET", "chat", "auth-pass", "one")
    (rights,) = re.findall(r"^ACL SETUSER watch on >other (.*)$", PAGE, re.M)
    watched.sentinel.ask("ACL", "SETUSER", "chat", "on", ">two", *rights.split())
    url = watched.url.replace("//", "//:one@")
    options = {"sentinel_username": "chat", "sentinel_password": "two"}
    connections = connect(url, **options)
    assert await connections.run([("PING",)]) == [b"PONG"]
    while "cmd=subscribe" not in watched.sentinel.ask("CLIENT", "LIST", "TYPE", "PUBSUB"):
        await asyncio.sleep(0.01)
    assert watched.sentinel.ask("ACL", "LOG") == []
    options["sentinel_password"] = "three"
    (error,) = await connect(url, **options).run([("PING",)])
    assert watched.sentinel.ask("ACL", "LOG") != []  # the failed login of "three"
    assert "three" not in str(error)
    assert "invalid username-password" in str(error)

"""Redis can be reached over TLS, even behind Sentinel and in a cluster."""

import pytest
from redis.exceptions import ConnectionError, TimeoutError
from support.program import free_port
from support.redis_sentinel import SentinelServer


@pytest.mark.gen_test
async def test_certificates(connect, make_tls, certificate):
    """The server's certificate is checked, and Redis may require one of the client."""
    cert, key = certificate
    server = make_tls(tls_auth_clients="yes")
    url = f"rediss://127.0.0.1:{server.tls_port}"
    ours = {"ssl_certfile": str(cert), "ssl_keyfile": str(key)}
    connections = connect(url, ssl_ca_certs=str(cert), **ours)
    assert await connections.run([("PING",)]) == [b"PONG"]
    subscriber = await connections.subscriber()
    await subscriber.subscribe("a")
    assert await subscriber.read() == [b"subscribe", b"a", 1]
    await subscriber.close()
    for options, said in [
        (ours, "CERTIFICATE_VERIFY_FAILED"),
        ({"ssl_ca_certs": str(cert)}, "while reading|closed"),
        ({"ssl_ca_certs": "/none.pem", **ours}, "No such file"),
    ]:
        with pytest.raises(ConnectionError, match=said):
            await connect(url, **options).subscriber()
    named = url.replace("127.0.0.1", "localhost")
    with pytest.raises(ConnectionError, match="Hostname mismatch"):
        await connect(named, ssl_ca_certs=str(cert), **ours).subscriber()
    for options in (
        {"ssl_ca_certs": str(cert), "ssl_check_hostname": False},
        {"ssl_cert_reqs": "none"},
    ):
        assert await connect(named, **options, **ours).run([("PING",)]) == [b"PONG"]


@pytest.mark.gen_test
async def test_a_server_without_tls(connect, redis_server):
    url = redis_server.url.replace("redis", "rediss")
    with pytest.raises(TimeoutError, match=r"\(over TLS\) did not answer within 0.2 s"):
        await connect(url, connect_timeout=0.2).subscriber()


@pytest.mark.gen_test
async def test_sentinel(connect, make_tls, tmp_path, certificate):
    """The sentinels are reached over TLS, too."""
    master = make_tls(tls_auth_clients="no")
    port = free_port()
    sentinel = SentinelServer(
        tmp_path,
        master.tls_port,
        tls_port=port,
        tls_replication="yes",
        tls_auth_clients="no",
        **master.files,
    )
    try:
        sentinel.start()
        url = f"rediss+sentinel://127.0.0.1:{port}/chat"
        connections = connect(url, ssl_ca_certs=str(certificate[0]))
        assert await connections.run([("SET", "a", "1")]) == [b"OK"]
        await (await connections.subscriber()).close()
    finally:
        sentinel.kill()


@pytest.mark.gen_test
async def test_cluster(connect, make_tls, certificate):
    """All nodes are reached over TLS."""
    options = {"cluster_enabled": "yes", "cluster_port": free_port(), "tls_cluster": "yes"}
    node = make_tls(tls_auth_clients="no", **options)
    node.ask("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
    url = f"rediss+cluster://127.0.0.1:{node.tls_port}"
    connections = connect(url, ssl_ca_certs=str(certificate[0]))
    subscriber = await connections.subscriber()
    await subscriber.subscribe("a")
    assert await subscriber.read() == [b"subscribe", b"a", 1]
    assert await connections.run([("SPUBLISH", "a", "1")]) == [1]
    assert await subscriber.read() == [b"message", b"a", b"1"]
    await subscriber.close()

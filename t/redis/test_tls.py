"""Redis by TLS, also behind Sentinel and in a cluster."""

import subprocess

import pytest
from redis.exceptions import ConnectionError, TimeoutError
from support.outside import find_program
from support.program import free_port
from support.redis_sentinel import SentinelServer


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """The paths of a certificate for 127.0.0.1, and of its key."""
    folder = tmp_path_factory.mktemp("certificate")
    paths = folder / "c.pem", folder / "k.pem"
    command = [find_program("openssl", "openssl"), "req", "-x509", "-nodes", "-days", "2"]
    command += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", "/CN=redis"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-out", paths[0], "-keyout", paths[1]]
    subprocess.run(command, check=True, capture_output=True)
    return paths


@pytest.fixture
def make_tls(make_redis, certificate):
    """`server = make_tls(option=value)`, which has TLS on `server.tls_port`."""
    cert, key = certificate

    def make(**options):
        port = free_port()
        files = {"tls_cert_file": cert, "tls_key_file": key, "tls_ca_cert_file": cert}
        server = make_redis(tls_port=port, **(files | options))
        server.tls_port, server.files = port, files
        return server

    return make


@pytest.mark.gen_test
async def test_certificates(connect, make_tls, certificate):
    """The server's is checked, and Redis may want one of the client."""
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
    with pytest.raises(TimeoutError, match=r"\(by TLS\) did not answer within 0.2 s"):
        await connect(url, connect_timeout=0.2).subscriber()


@pytest.mark.gen_test
async def test_sentinel(connect, make_tls, tmp_path, certificate):
    """The sentinels are asked by TLS, too."""
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
    """All nodes are reached by TLS."""
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

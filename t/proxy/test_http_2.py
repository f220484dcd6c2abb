"""With TLS and HTTP/2, as the recipe describes them, each proxy carries many streams on one
connection.
"""

import asyncio
import re
from pathlib import Path

import pytest
from support import apache, caddy, haproxy, nginx
from support.answers import until
from support.outside import find_program, running
from support.proxies import PAGE
from tornado.testing import AsyncHTTPSTestCase

TLS = AsyncHTTPSTestCase.default_ssl_options()
CERTIFICATE, KEY = TLS["certfile"], TLS["keyfile"]
# At first, Apache does not answer more requests of one connection at the same time.
STREAMS = {"nginx": 10, "haproxy": 10, "caddy": 10, "apache": 6}


@pytest.fixture
def port(request, http_server, http_port, tmp_path, proxy):
    """The port of the proxy."""
    run = request.getfixturevalue(f"run_{proxy}")
    if proxy == "nginx":
        lines = nginx.HTTP_2.replace("/etc/ssl/certs/chat.pem", CERTIFICATE)
        lines = lines.replace("/etc/ssl/private/chat.key", KEY)
        lines = nginx.SITE.replace("listen 80;\n", lines)
        return run(lines.replace("5000", str(http_port)), "listen 443 ssl http2")
    if proxy == "haproxy":
        (tmp_path / "chat.pem").write_text(Path(CERTIFICATE).read_text() + Path(KEY).read_text())
        (bind,) = re.findall(r"`bind :443 (ssl .*)`\.", PAGE)
        bind = bind.replace("/etc/ssl/private/chat.pem", str(tmp_path / "chat.pem"))
        return run(haproxy.LINES.replace("5000", str(http_port)), tls=bind)
    if proxy == "caddy":
        lines = caddy.LINES.replace("\n:80 {\n", f"\n:80 {{\n\ttls {CERTIFICATE} {KEY}\n")
        return run(lines.replace("5000", str(http_port)))
    words = ["Protocols h2 http/1.1", "SSLEngine on"]
    assert all(f"`{word}`" in PAGE for word in words)
    words += [f"SSLCertificateFile {CERTIFICATE}", f"SSLCertificateKeyFile {KEY}"]
    host = "<VirtualHost *:80>\n"
    lines = apache.LINES.replace(host, host + "\n".join([*words, ""]))
    return run(lines.replace("5000", str(http_port)), modules=["ssl", "http2"])


@pytest.mark.parametrize("proxy", STREAMS)
@pytest.mark.gen_test
async def test_http_2(port, queue, proxy):
    """One connection carries more streams than the six connections of a browser with HTTP/1.1;
    Apache carries six.
    """
    curl = find_program("curl", "curl")
    count = STREAMS[proxy]
    urls = [f"https://localhost:{port}/events/room?transport=sse&n={n}" for n in range(10)]
    options = ["-N", "-s", "-k", "--http2", "--parallel", "--parallel-max", "20"]
    async with running(curl, *options, "-w", "%{http_version} %{num_connects}\n", *urls) as process:
        await until(lambda: queue.subscribers == count)
        await asyncio.sleep(0.1)
        assert queue.subscribers == count
        queue.publish({"n": 1})
        got = b""
        while got.count(b'{"n":1}') < count:
            got += await asyncio.wait_for(process.stdout.readline(), 2)
        if count < len(urls):
            # The other streams begin when these end.
            queue.disconnect()
            await until(lambda: queue.subscribers == len(urls) - count)
        queue.disconnect()
        got += await process.stdout.read()
    ways = re.findall(rb"^(2|1.1) (\d+)$", got, re.M)
    assert {version for version, _ in ways} == {b"2"}
    assert sum(int(connects) for _, connects in ways) < 6

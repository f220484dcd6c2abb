"""The configurations of the page do what the page says."""

import json

import pytest
from support.nginx import BY_CHANNEL, with_upstream
from support.subscriber import CLIENTS
from support.wire import read_reply
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from tatsumaki_py import Application, Error, Handler


class Who(Handler):
    def get(self):
        self.write([self.request.remote_ip, self.request.protocol, self.request.host])


class Full(Handler):
    def get(self):
        raise Error.HTTP(503, "too many clients", retry_after=7)


class Named(Handler):
    def initialize(self, name):
        self.name = name

    def get(self):
        self.write(self.name)


@pytest.mark.gen_test
async def test_origin(nginx, raw, queue):
    """A page may open WebSockets to its own host and port; a page from another origin may not."""
    port = nginx()
    for origin, status in ((f"http://127.0.0.1:{port}", 101), ("http://evil.example", 403)):
        client = CLIENTS["websocket"](port, connect=raw, headers={"Origin": origin})
        assert (await client.open()).status == status


@pytest.mark.gen_test
async def test_who_the_client_is(nginx, http_server, http_port, raw, app):
    """Address and scheme are those that nginx saw, whatever the client sends."""
    app.add_handlers("/who", Who)
    client = await raw(nginx())
    headers = ["X-Real-IP: 6.6.6.6", "X-Forwarded-For: 6.6.6.6", "X-Scheme: https"]
    headers += ["X-Forwarded-Proto: https"]
    await client.send("\r\n".join(["GET /who HTTP/1.1", "Host: x", *headers, "", ""]).encode())
    assert json.loads((await read_reply(client)).body) == ["127.0.0.1", "http", "x"]


@pytest.mark.gen_test
async def test_publish(nginx, raw, queue, expect_log):
    """nginx passes a POST on; a POST from another site is refused."""
    port = nginx()

    async def status(site):
        client = await raw(port)
        headers = ["Host: x", "Content-Type: application/json", "Content-Length: 7"]
        headers += [f"Sec-Fetch-Site: {site}"]
        lines = ["POST /publish/room HTTP/1.1", *headers, "", '{"n":1}']
        await client.send("\r\n".join(lines).encode())
        return (await read_reply(client)).status

    assert await status("same-origin") == 200
    with expect_log("tornado.general", "cross-site"):
        assert await status("cross-site") == 403
    assert queue.backlog_events == [{"n": 1}]


@pytest.mark.parametrize(
    ("proxy", "away"), [("nginx", 502), ("haproxy", 503), ("caddy", 502), ("apache", 503)]
)
@pytest.mark.gen_test
async def test_unavailable(run_recipe, http_server, http_port, raw, app, proxy, away):
    """An EventSource gets a stream instead of a 503 or 502; other clients get the status."""
    app.add_handlers("/full", Full)
    port = run_recipe(proxy, http_port)

    async def reply(accept):
        client = await raw(port)
        head = f"GET /full HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\n\r\n"
        await client.send(head.encode())
        return await read_reply(client)

    async def stream(accept="text/event-stream"):
        answer = await reply(accept)
        names = ("content-type", "cache-control")
        return answer.status, [answer.headers[name] for name in names], answer.body

    empty = (200, ["text/event-stream", "no-store"], b"retry: 3000\n")
    assert await stream() == empty
    other = await reply("application/x-ndjson")
    assert (other.status, other.body) == (503, b"too many clients")
    assert other.headers["retry-after"] == "7"
    http_server.stop()
    await http_server.close_all_connections()
    assert await stream() == empty
    assert (await reply("*/*")).status == away


@pytest.mark.gen_test
async def test_a_channel_has_one_process(run_nginx, io_loop, raw):
    """The last part of the path chooses the process, the same for subscribing and publishing."""
    servers, ports = [], []
    for name in "ab":
        server = HTTPServer(Application([("/.*", Named, {"name": name})]))
        sockets = bind_sockets(0, "127.0.0.1")
        server.add_sockets(sockets)
        servers.append(server)
        ports.append(str(sockets[0].getsockname()[1]))
    processes = BY_CHANNEL.replace("5000", ports[0]).replace("5001", ports[1])
    site = with_upstream(processes)
    assert all(port in site for port in ports)
    client = await raw(run_nginx(site))
    owners = []
    for channel in range(20):
        names = set()
        for path in (f"/events/{channel}", f"/publish/{channel}", f"/events/{channel}?a=b/c"):
            await client.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            names.add((await read_reply(client)).body)
        assert len(names) == 1
        owners.append(names.pop())
    assert set(owners) == {b"a", b"b"}
    for server in servers:
        server.stop()
        await server.close_all_connections()

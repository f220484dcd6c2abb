"""nginx reaches the application through a Unix socket, as the page describes."""

import re

import pytest
from support.nginx import PAGE, with_upstream
from support.subscriber import CLIENTS, STREAMS
from support.wire import read_reply

from tatsumaki_py import Handler
from tatsumaki_py.server.bind import UnixSocket


class Client(Handler):
    def get(self):
        self.write([self.request.remote_ip, self.request.protocol])


@pytest.fixture
def unix_port(run_nginx, http_server, app, tmp_path):
    """The port of nginx."""
    app.add_handlers(".*", [("/client", Client)])
    path = tmp_path / "chat.sock"
    sock = UnixSocket.bound(str(path), 0o660)
    sock.listen()
    http_server.add_socket(sock)
    (upstream,) = re.findall(r"`(upstream tatsumaki \{ server unix:.*\})`", PAGE)
    upstream = upstream.replace("/run/chat.sock", str(path))
    return run_nginx(with_upstream(upstream))


@pytest.mark.gen_test
async def test_events(unix_port, raw, queue):
    """Events arrive over all transports."""
    clients = [CLIENTS[transport](unix_port, connect=raw) for transport in STREAMS]
    for client in clients:
        await client.open()
    queue.publish({"n": 1})
    assert [await client.take(1) for client in clients] == [[{"n": 1}]] * len(clients)
    for client in clients:
        client.close()


@pytest.mark.gen_test
async def test_who_the_client_is(unix_port, raw):
    """The client's address is the one that nginx reports."""
    client = await raw(unix_port)
    await client.send(b"GET /client HTTP/1.1\r\nHost: x\r\nX-Real-IP: 6.6.6.6\r\n\r\n")
    assert (await read_reply(client)).body == b'["127.0.0.1","http"]'

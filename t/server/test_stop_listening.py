"""When a server stops listening, it still serves the connections in its backlog."""

import asyncio
import socket

import pytest
from support.wire import iterations
from tornado.netutil import bind_sockets

from tatsumaki_py import Application, Handler

pytestmark = pytest.mark.both_servers


class Hello(Handler):
    def get(self):
        self.write("hello")


def connect(port):
    """A client that has sent its request."""
    client = socket.create_connection(("127.0.0.1", port), 5)
    client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    client.setblocking(False)
    return client


async def answer(client):
    with client:
        data = b""
        while chunk := await asyncio.get_running_loop().sock_recv(client, 1000):
            data += chunk
        return data


@pytest.mark.gen_test
async def test_clients_in_the_queue(http_server_class):
    """Clients in the backlog are answered, although no connection was accepted before the stop."""
    server = http_server_class(Application([("/", Hello)]))
    sockets = [bind_sockets(0, "127.0.0.1")[0] for _ in range(2)]
    server.add_sockets(sockets[:1])
    server.add_socket(sockets[1])
    ports = [sock.getsockname()[1] for sock in sockets]
    clients = [connect(port) for port in ports for _ in range(20)]
    gone = connect(ports[0])
    gone.close()
    server.stop()
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            connect(port)
    for client in clients:
        assert (await answer(client)).endswith(b"hello")
    server.stop()
    await server.close_all_connections()
    await iterations()

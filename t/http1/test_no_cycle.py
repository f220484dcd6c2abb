"""A closed connection is freed immediately, without the garbage collector."""

import asyncio
import gc
import ssl
import weakref

import pytest
from support.wire import soon
from tornado.httputil import HTTPMessageDelegate, HTTPServerConnectionDelegate
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler


class Hello(RequestHandler):
    def get(self):
        self.write("hello")


class Reading(HTTPMessageDelegate):
    """A delegate that is in a cycle with its connection."""

    def __init__(self, connection):
        self.connection = connection
        connection.set_close_callback(self.left)

    def headers_received(self, start_line, headers):
        pass

    def data_received(self, chunk):
        pass

    def on_connection_close(self):
        pass

    def left(self):
        raise AssertionError("the delegate is told")


class Delegates(HTTPServerConnectionDelegate):
    def __init__(self):
        self.made = []

    def start_request(self, server_conn, request_conn):
        delegate = Reading(request_conn)
        self.made.append(weakref.ref(delegate))
        return delegate


@pytest.fixture
def app():
    return Application([("/", Hello)])


@pytest.fixture
def no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.gen_test
async def test_tls(app, certificate, trusting, http_server_class, no_collector):
    server = http_server_class(app, ssl_options=certificate)
    listening, port = bind_unused_port()
    server.add_socket(listening)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.readuntil(b"hello")
    (connection,) = server.connections()
    freed = weakref.ref(connection.sock)
    assert isinstance(freed(), ssl.SSLSocket)
    del connection
    writer.close()
    await soon(lambda: freed() is None)
    server.stop()


@pytest.mark.parametrize("rest", [None, b"x\r\n"])
@pytest.mark.gen_test
async def test_half_a_body(http_server_class, raw, no_collector, rest):
    """The connection is freed if the client leaves, or if the rest of the body is malformed."""
    app = Delegates()
    server = http_server_class(app)
    listening, port = bind_unused_port()
    server.add_socket(listening)
    client = await raw(port)
    await client.send(
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"
    )
    await soon(lambda: app.made)
    if rest is None:
        client.close()
    else:
        await client.send(rest)
        assert await client.read_all() == b"HTTP/1.1 400 Bad Request\r\n\r\n"
    await soon(lambda: app.made[0]() is None)
    server.stop()
    await server.close_all_connections()

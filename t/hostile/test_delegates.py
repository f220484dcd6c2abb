"""If a method of a delegate fails, its connection is closed, and other clients are served."""

import asyncio

import pytest
from support.wire import open_sockets, read_reply, soon
from tornado.httputil import (
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerConnectionDelegate,
    ResponseStartLine,
)

from tatsumaki_py.server.http_server import StrictServer

POST = b"POST /%s HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nabcd"


class Failing(HTTPMessageDelegate):
    """Fails in the method that the target names, after an await if the name ends with "later"."""

    def __init__(self, connection, calls):
        self.connection = connection
        self.calls = calls
        self.target = ""

    def reach(self, name):
        self.calls.append(name)
        if self.target == f"/{name}":
            raise ValueError("on purpose")
        if self.target == f"/{name}_later":
            return self.later()
        return None

    async def later(self):
        await asyncio.sleep(0)
        raise ValueError("on purpose")

    def headers_received(self, start_line, headers):
        self.target = start_line.path
        return self.reach("headers_received")

    def data_received(self, chunk):
        return self.reach("data_received")

    def finish(self):
        self.reach("finish")
        headers = HTTPHeaders({"Content-Length": "2"})
        self.connection.write_headers(ResponseStartLine("HTTP/1.1", 200, "OK"), headers, b"ok")
        self.connection.finish()

    def on_connection_close(self):
        self.reach("on_connection_close")


class App(HTTPServerConnectionDelegate):
    def __init__(self):
        self.calls = []
        self.fails = False

    def start_request(self, server_conn, request_conn):
        if self.fails:
            raise ValueError("on purpose")
        return Failing(request_conn, self.calls)


@pytest.fixture
def app():
    return App()


@pytest.fixture
def tornado_server_class():
    return StrictServer


@pytest.fixture
def connect(http_server, http_port, raw):
    async def connect(data):
        client = await raw(http_port)
        await client.send(data)
        return client

    return connect


@pytest.mark.parametrize(
    "where",
    [
        "headers_received",
        "headers_received_later",
        "data_received",
        "data_received_later",
        "finish",
    ],
)
@pytest.mark.gen_test
async def test_fails(connect, app, http_port, where, expect_log):
    """`on_connection_close` of a delegate that fails is called once."""
    with expect_log("tornado.application", "Uncaught exception") as records:
        client = await connect(POST % where.encode())
        assert await client.read_all() == b""
        await soon(lambda: not open_sockets(http_port))
        await soon(lambda: "on_connection_close" in app.calls)
    assert len(records) == 1
    assert app.calls.count("on_connection_close") == 1
    app.calls.clear()
    assert (await read_reply(await connect(POST % b"other"))).body == b"ok"


@pytest.mark.gen_test
async def test_fails_at_the_end(connect, http_port, app, expect_log):
    """An exception in `on_connection_close` is logged, and the server continues."""
    with expect_log("tornado.application", "Uncaught exception") as records:
        client = await connect((POST % b"on_connection_close")[:-2])
        await soon(lambda: "data_received" in app.calls)
        client.close()
        await soon(lambda: not open_sockets(http_port))
        await soon(lambda: "on_connection_close" in app.calls)
        await asyncio.sleep(0.01)
    assert len(records) == 1


@pytest.mark.gen_test
async def test_no_delegate(connect, app, http_port, expect_log):
    """An application that fails to make a delegate closes the connection."""
    app.fails = True
    with expect_log("tornado", "Uncaught exception"):
        client = await connect(POST % b"x")
        assert await client.read_all() == b""
        await soon(lambda: not open_sockets(http_port))
    app.fails = False
    assert (await read_reply(await connect(POST % b"other"))).body == b"ok"

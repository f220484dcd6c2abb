"""When a client leaves, either the delegate or the close callback is called."""

import asyncio

import pytest
from support.wire import soon
from tornado.httputil import (
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerConnectionDelegate,
    ResponseStartLine,
)

ASK = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab"


class Recording(HTTPMessageDelegate):
    """Records its calls. The test answers the request."""

    def __init__(self, connection, log):
        self.connection = connection
        self.log = log
        connection.set_close_callback(lambda: log.append("callback"))

    def headers_received(self, start_line, headers):
        self.log.append("headers")

    def data_received(self, chunk):
        self.log.append(chunk)

    def finish(self):
        self.log.append("finish")

    def on_connection_close(self):
        self.log.append("on_connection_close")

    def answer(self):
        headers = HTTPHeaders({"Content-Length": "2"})
        self.connection.write_headers(ResponseStartLine("HTTP/1.1", 200, "OK"), headers, b"ok")
        self.connection.finish()


class Delegates(HTTPServerConnectionDelegate):
    def __init__(self):
        self.log = []
        self.made = []

    def start_request(self, server_conn, request_conn):
        self.made.append(Recording(request_conn, self.log))
        return self.made[-1]


@pytest.fixture
def app():
    return Delegates()


async def finished(app, times=1):
    await soon(lambda: app.log.count("finish") == times)


@pytest.mark.parametrize("way", ["close", "half_close", "reset"])
@pytest.mark.gen_test
async def test_while_the_answer_is_awaited(connect, app, way):
    client = await connect(ASK)
    await finished(app)
    getattr(client, way)()
    await soon(lambda: "callback" in app.log)
    await asyncio.sleep(0.01)
    assert app.log == ["headers", b"ab", "finish", "callback"]


@pytest.mark.parametrize("way", ["close", "half_close", "reset"])
@pytest.mark.gen_test
async def test_while_the_body_is_read(connect, app, way):
    client = await connect(ASK[:-1])
    await soon(lambda: b"a" in app.log)
    getattr(client, way)()
    await soon(lambda: "on_connection_close" in app.log)
    await asyncio.sleep(0.01)
    assert app.log == ["headers", b"a", "on_connection_close"]


@pytest.mark.parametrize("part", [b"", ASK[:10]])
@pytest.mark.gen_test
async def test_before_a_request(connect, app, part):
    """If a client leaves before a request, nothing is called."""
    client = await connect(part)
    await asyncio.sleep(0.01)
    client.close()
    await asyncio.sleep(0.01)
    assert app.log == []


@pytest.mark.gen_test
async def test_with_another_request_behind(connect, app):
    """A client that leaves is noticed even behind another request, which is not executed."""
    client = await connect(ASK + ASK)
    await finished(app)
    client.close()
    await soon(lambda: "callback" in app.log)
    await asyncio.sleep(0.01)
    assert app.log == ["headers", b"ab", "finish", "callback"]


@pytest.mark.gen_test
async def test_after_the_answer(connect, app):
    """The close callback of an answered request is not called."""
    client = await connect(ASK)
    await finished(app)
    app.made[0].answer()
    await client.read_until(b"ok")
    client.close()
    await asyncio.sleep(0.01)
    assert "callback" not in app.log


@pytest.mark.gen_test
async def test_an_answer_within_finish(app, connect, monkeypatch):
    """If `finish` sends the last answer of a connection, nothing is called when it is closed."""
    monkeypatch.setattr(Recording, "finish", Recording.answer)
    client = await connect(ASK.replace(b"Host", b"Connection: close\r\nHost"))
    assert (await client.read_all()).endswith(b"ok")
    await asyncio.sleep(0.01)
    assert app.log == ["headers", b"ab"]


@pytest.mark.gen_test
async def test_taken_back(connect, app):
    client = await connect(ASK)
    await finished(app)
    app.made[-1].connection.set_close_callback(None)
    client.close()
    await asyncio.sleep(0.01)
    assert app.log == ["headers", b"ab", "finish"]


@pytest.mark.gen_test
async def test_an_answer_too_late(connect, app):
    """An answer after the client has left is dropped, and nothing is logged."""
    client = await connect(ASK)
    await finished(app)
    client.close()
    await soon(lambda: "callback" in app.log)
    app.made[0].answer()


@pytest.mark.gen_test
async def test_the_server_closes(connect, app, http_server):
    """`close_all_connections` calls the same methods as a client that leaves."""
    await connect(ASK)
    await finished(app)
    await http_server.close_all_connections()
    assert app.log == ["headers", b"ab", "finish", "callback"]

"""The private parts of Tornado that the package uses.

If a test fails with a new version of Tornado, that part has changed; check the module that the test
names.
"""

import ast
import asyncio
import gzip
import inspect
import re
import socket
import time
from collections import deque

import pytest
import tornado.web
import tornado.websocket
from support.program import ROOT
from tornado.http1connection import (
    HTTP1Connection,
    HTTP1ServerConnection,
    _GzipMessageDelegate,
)
from tornado.httpserver import HTTPServer
from tornado.httputil import (
    HTTPHeaders,
    HTTPInputError,
    HTTPMessageDelegate,
    HTTPServerRequest,
    RequestStartLine,
)
from tornado.iostream import BaseIOStream, IOStream, StreamClosedError, _StreamBuffer
from tornado.netutil import bind_sockets
from tornado.tcpserver import TCPServer
from tornado.util import ObjectDict

from tatsumaki_py import Request

pytestmark = pytest.mark.tornado_server

# name: the module that uses it
PRIVATE = {
    "_auto_finish": "push/answer_handler.py",
    "_execute": (
        "endpoint/channels.py, endpoint/subscribe.py, push/stray.py, request_delegate.py, "
        "server/in_flight.py"
    ),
    "_finished": (
        "push/answer_handler.py, push/peer_handler.py, push/stream_handler.py, "
        "endpoint/subscribe.py, endpoint/shared_answers.py, server/in_flight.py"
    ),
    "_as_list": (
        "http1/head.py, lean_handler.py, push/sent_headers.py, push/stream_head.py, "
        "endpoint/shared_answers.py"
    ),
    "_combined_cache": "http1/head.py, lean_handler.py, push/peer_handler.py, request.py",
    "_handle_connection": "server/http_server.py",
    "_chunking_output": "strict_http.py",
    "_close_callback": "strict_http.py",
    "_expected_content_remaining": "strict_http.py",
    "_format_chunk": "strict_http.py",
    "_on_write_complete": "strict_http.py",
    "_pending_write": "strict_http.py",
    "_request_start_line": "strict_http.py",
    "_response_start_line": "strict_http.py",
    "_write_future": "strict_http.py",
    "_connections": "server/http_server.py, server/fast_server.py",
    "_disconnect_on_finish": "strict_http.py",
    "_headers": (
        "lean_handler.py, push/peer_handler.py, push/stream_handler.py, push/stream_head.py, "
        "response.py, endpoint/websocket.py, endpoint/cross_origin.py, "
        "endpoint/shared_answers.py, endpoint/subscribe.py"
    ),
    "_log": (
        "push/stream_handler.py, push/websocket.py, endpoint/websocket.py, "
        "endpoint/shared_answers.py"
    ),
    "_new_cookie": "endpoint/websocket.py",
    "_prepared_future": "endpoint/channels.py",
    "_headers_written": (
        "push/peer_handler.py, push/stream_handler.py, push/stream_head.py, "
        "endpoint/cross_origin.py, endpoint/shared_answers.py, server/in_flight.py"
    ),
    "_reason": "lean_handler.py, push/stream_head.py, endpoint/shared_answers.py",
    "_server_request_loop": "strict_http.py",
    "_finish_time": "request_delegate.py",
    "_start_time": "request.py, request_delegate.py",
    "_status_code": "endpoint/shared_answers.py, lean_handler.py",
    "_transforms": (
        "push/answer_handler.py, push/stream_handler.py, push/stream_head.py, "
        "endpoint/body_limit.py, "
        "endpoint/shared_answers.py"
    ),
    "_write_buffer": (
        "iostream.py, lean_handler.py, push/stream_handler.py, push/stream_head.py, response.py, "
        "endpoint/shared_answers.py"
    ),
    "_write_futures": "iostream.py",
    "_log_message": "error.py",
    "_parse_body": "request.py",
    "_parse_headers": "strict_http.py",
    "_read_buffer_size": "strict_http.py",
    "_request_headers": "strict_http.py",
    "_request_summary": "logger.py, static_file.py",
}
OWN = {
    "_closed": "http_client.py",
    "_state": "http1/requests.py",
}
CLASSES = (
    tornado.web.RequestHandler,
    tornado.web.Application,
    tornado.web.StaticFileHandler,
    tornado.web.HTTPError,
    HTTPServerRequest,
    HTTPHeaders,
    HTTP1Connection,
    HTTP1ServerConnection,
    HTTPServer,
    TCPServer,
    BaseIOStream,
    IOStream,
)
seen = {}


def private_names_of_tornado():
    source = "".join(map(inspect.getsource, CLASSES))
    return set(re.findall(r"(?:self\.|def )(_[a-z]\w*)", source))


def private_names_in(path):
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name


def test_every_private_name_is_listed():
    """No module uses, or by accident redefines, a private name of Tornado that is not in PRIVATE.

    (OWN: an attribute of a class of ours that has nothing to do with Tornado's.)
    """
    found = {}
    theirs = private_names_of_tornado()
    for path in (ROOT / "tatsumaki_py").rglob("*.py"):
        imported = re.findall(r"^(?:from|import) (\w+)", path.read_text(), re.MULTILINE)
        if "tornado" in imported or path.parent.name == "endpoint":
            for name in theirs.intersection(private_names_in(path)):
                found.setdefault(name, set()).add(
                    path.relative_to(ROOT / "tatsumaki_py").as_posix()
                )
    listed = {name: set(modules.split(", ")) for name, modules in {**PRIVATE, **OWN}.items()}
    assert found == listed


class Probe(tornado.web.RequestHandler):
    """Inspects itself at each stage of a request, without any code of the package."""

    def initialize(self, *, early):
        seen["in initialize"] = (self._auto_finish, self._finished, self._headers_written)
        if self.request.path == "/open":
            self._auto_finish = False

    def get(self, *args):
        seen.update(handler=self, args=(args, self.path_args), before=self._finished)
        getattr(self, self.request.path.strip("/"), self.nothing)()

    def nothing(self):
        self.write("a")
        seen["buffer"] = self._write_buffer
        self.finish()
        seen["after"] = (self._finished, self._headers_written, self.ui)
        seen["callback"] = self.request.connection._close_callback

    def open(self):
        pass

    def rewritten(self):
        self.write("old")
        self._write_buffer = []
        self.write("new")

    def detached(self):
        seen["transforms"] = list(map(type, self._transforms))
        self._transforms = []
        self.write("x" * 3000)
        self.flush()
        seen["transfer"] = self._headers.get("Transfer-Encoding")
        stream = self.detach()
        seen["detached"] = (type(stream), self._finished, self.request.connection.stream)
        stream.close()

    def modules(self):
        seen["ui"] = (self.ui, self.application.ui_modules)

    def context(self):
        seen["trusted"] = self.request.connection.context.trusted_downstream

    def close(self):
        connection = self.request.connection
        seen["stream"] = (type(connection.stream), connection.stream.socket.fileno() >= 0)
        self._auto_finish = False
        connection.set_close_callback(lambda: seen.update(closed=True))


@pytest.fixture
def app():
    seen.clear()
    return tornado.web.Application(
        [(r"/(\w*)", Probe, {"early": 1})], compress_response=True, default_handler_class=Probe
    )


@pytest.mark.gen_test
async def test_finished(fetch):
    """`_finished` and `_headers_written` show the state of an answer. At the end, `ui` is cleared
    and the close callback is removed. (push/answer_handler.py)
    """
    assert (await fetch("/")).body == b"a"
    assert seen["in initialize"] == (True, False, False)
    assert seen["before"] is False
    assert seen["after"] == (True, True, None)
    assert seen["callback"] is None
    assert seen["buffer"] == [b"a"] or seen["buffer"] == []


@pytest.mark.gen_test
async def test_request_summary(fetch):
    """Tornado logs the `_request_summary` of a request. (push/peer_base.py)"""
    await fetch("/")
    assert seen["handler"]._request_summary() == "GET / (127.0.0.1)"


@pytest.mark.gen_test
async def test_auto_finish(ask):
    """`_auto_finish = False` leaves the answer open when the method returns.
    (push/answer_handler.py)
    """
    client = await ask("GET /open")
    while "handler" not in seen:
        await asyncio.sleep(0)
    assert not seen["handler"]._finished
    seen["handler"].finish("later")
    assert await client.read_until(b"later")


@pytest.mark.gen_test
async def test_write_buffer(fetch):
    """The list `_write_buffer` holds the body. (push/stream_handler.py, response.py)"""
    assert (await fetch("/rewritten")).body == b"new"


@pytest.mark.gen_test
async def test_detach(ask):
    """Compression is one of `_transforms`. Writing the headers adds Transfer-Encoding to
    `_headers`. `detach()` sets `_finished` and releases the stream. (push/stream_handler.py)
    """
    client = await ask("GET /detached", "Accept-Encoding: gzip")
    answer = await client.read_all()
    assert b"x" * 3000 in answer
    assert b"gzip" not in answer
    assert seen["transforms"] == [tornado.web.GZipContentEncoding]
    assert seen["transfer"] == "chunked"
    assert seen["detached"] == (IOStream, True, None)


@pytest.mark.gen_test
async def test_close_callback(ask):
    """`request.connection` has a `stream` with a `socket`, and one close callback, which is called
    when the peer leaves. (push/answer_handler.py)
    """
    client = await ask("GET /close")
    while "stream" not in seen:
        await asyncio.sleep(0)
    assert seen["stream"] == (IOStream, True)
    client.close()
    while "closed" not in seen:
        await asyncio.sleep(0.001)


@pytest.mark.gen_test
async def test_ui(fetch):
    """Without UI methods, `ui` is an `ObjectDict` in which one object with the handler and its
    modules has two names. (push/lazy_ui.py)
    """
    await fetch("/modules")
    ui, same = seen["ui"]
    assert type(ui) is ObjectDict
    assert ui.keys() == {"_tt_modules", "modules"}
    assert ui.modules is ui._tt_modules
    assert type(ui.modules) is tornado.web._UIModuleNamespace
    assert ui.modules.handler is seen["handler"]
    assert ui.modules.ui_modules is same


@pytest.mark.gen_test
async def test_empty_queues():
    """An `IOStream` has two write queues: `_write_buffer`, a `_StreamBuffer`, and `_write_futures`,
    a deque. Both are empty when everything is written. Only `write` adds to them; all other code
    accepts any empty object with a method `clear`. (iostream.py)
    """
    used = inspect.getsource(BaseIOStream) + inspect.getsource(IOStream)
    used = set(re.findall(r"_write_(?:buffer|futures)\.(\w+)", used))
    assert used == {"append", "peek", "advance", "popleft", "clear"}
    assert "append(data)" in inspect.getsource(BaseIOStream.write)
    here, there = socket.socketpair()
    stream = IOStream(here)
    for data in (b"a", b"b"):
        await stream.write(data)
        assert type(stream._write_buffer) is _StreamBuffer
        assert type(stream._write_futures) is deque
        assert (len(stream._write_buffer), len(stream._write_futures)) == (0, 0)
    stream.close()
    there.close()


@pytest.mark.gen_test
async def test_trusted_downstream(fetch):
    """The `context` of each connection has a separate set `trusted_downstream`, a copy of the
    server's. (server/http_server.py)
    """
    await fetch("/context")
    assert seen["trusted"] == set()
    assert ".trusted_downstream" in inspect.getsource(HTTPServer.handle_stream)


@pytest.mark.gen_test
async def test_path_args(fetch):
    """`path_args` are the arguments of the method. (handler.py)"""
    await fetch("/abc")
    assert seen["args"] == (("abc",), ["abc"])


class Socket(tornado.websocket.WebSocketHandler):
    def initialize(self, outer):
        seen["outer"] = outer
        self._headers, self._new_cookie = outer._headers, outer._new_cookie

    def _log(self):
        seen["logged"] = self.get_status()

    def detach(self):
        seen["detach"] = (self.get_status(), self._finished)
        return super().detach()

    def open(self):
        seen["open"] = (self.open_args, dict(self.path_kwargs))

    def on_ws_connection_close(self, close_code=None, close_reason=None):
        seen["closed"] = close_code
        super().on_ws_connection_close(close_code, close_reason)


class Outer(tornado.web.RequestHandler):
    def prepare(self):
        self.set_cookie("a", "b")
        self.set_header("X-Outer", "c")

    async def get(self):
        socket = Socket(self.application, self.request, outer=self)
        await socket._execute([])
        seen["executed"] = socket._finished
        self._finished = True


@pytest.mark.gen_test
async def test_execute(http_server, http_port):
    """A handler may `_execute` another one, until the WebSocket of that one ends. If it shares
    `_headers` and `_new_cookie`, the other one sends them. `_log` logs the handshake, which ends in
    `detach()`. `on_ws_connection_close` is called at the end. (endpoint/subscribe.py,
    push/websocket.py)
    """
    seen.clear()
    http_server.request_callback.add_handlers(".*", [("/socket", Outer)])
    url = f"ws://127.0.0.1:{http_port}/socket"
    client = await tornado.websocket.websocket_connect(url)
    assert client.headers["Set-Cookie"].startswith("a=b")
    assert client.headers["X-Outer"] == "c"
    assert seen["logged"] == 101
    client.close(4000)
    while "executed" not in seen:
        await asyncio.sleep(0.001)
    assert isinstance(seen["outer"], Outer)
    assert seen["detach"] == (101, True)
    assert seen["open"] == ((), {})
    assert seen["closed"] == 4000
    assert seen["executed"] is True


class Taking(tornado.websocket.WebSocketHandler):
    """Lets Tornado read from an object other than its connection."""

    def detach(self):
        stream = super().detach()
        seen["stream"] = stream
        return Nothing()

    def open(self):
        seen["calls"].append("open")

    def on_ws_connection_close(self, close_code=None, close_reason=None):
        seen["calls"].append("closed")
        self.ws_connection = None

    def on_finish(self):
        seen["calls"].append("finished")


class Nothing:
    def read_bytes(self, size):
        seen["calls"].append(f"read {size}")
        raise StreamClosedError

    def close(self):
        seen["calls"].append("close")


@pytest.mark.gen_test
async def test_read_nothing(http_server, http_port):
    """After the handshake, Tornado calls `open`, and `read_bytes` of the object that `detach`
    returned. If this raises StreamClosedError, Tornado calls the `close` of that object and
    `on_ws_connection_close`, and nothing more. The connection stays open. (endpoint/websocket.py)
    """
    seen.clear()
    seen["calls"] = []
    http_server.request_callback.add_handlers(".*", [("/taking", Taking)])
    client = await tornado.websocket.websocket_connect(f"ws://127.0.0.1:{http_port}/taking")
    while "closed" not in seen["calls"]:
        await asyncio.sleep(0.001)
    assert list(dict.fromkeys(seen["calls"])) == ["finished", "open", "read 2", "close", "closed"]
    await seen["stream"].write(b"\x81\x02hi")
    assert await client.read_message() == "hi"
    seen.pop("stream").close()
    assert await client.read_message() is None
    client.close()


def test_unimplemented_methods():
    """Verbs that a class does not define are all the same function. (handler.py)"""
    names = ("head", "post", "delete", "patch", "put", "options")
    assert {getattr(tornado.web.RequestHandler, name) for name in names} == {
        tornado.web.RequestHandler.get
    }
    assert {name.lower() for name in tornado.web.RequestHandler.SUPPORTED_METHODS} == {
        "get",
        *names,
    }


def test_request_class_can_be_changed():
    """The class of a request of Tornado can be changed. Its fields are three dicts of lists of
    bytes. It has `connection` and `server_connection`. (request.py, push/stream_handler.py)
    """

    class Other(HTTPServerRequest):
        pass

    line = RequestStartLine("GET", "/?caf%C3%A9=1", "HTTP/1.1")
    request = HTTPServerRequest(start_line=line, headers=HTTPHeaders({"Host": "x"}))
    request.__class__ = Other
    assert request.arguments == request.query_arguments == {"caf\u00c3\u00a9": [b"1"]}
    assert request.body_arguments == {}
    assert request.arguments is not request.query_arguments
    assert {"connection", "server_connection"} <= vars(request).keys()
    assert 0 <= time.time() - request._start_time < 60


def test_routers():
    """`wildcard_router` has the rules for any host, and rules for one host come before them. A
    handler gets the dict of its rule itself, not a copy. (application.py)
    """
    arguments = {"path": "a"}
    app = tornado.web.Application([("/", Probe)])
    app.wildcard_router.add_rules([("/x", Probe, arguments)])
    app.add_handlers(".*", [("/x", Probe, arguments)])
    assert app.wildcard_router.rules[-1].target_kwargs is arguments
    assert app.default_router.rules[-1].target is app.wildcard_router
    assert len(app.default_router.rules) == 2


def test_http_error():
    """`_log_message` is the text for the log, and `reason` is the phrase. (error.py)"""
    error = tornado.web.HTTPError(403, "100%", reason="No")
    assert (error._log_message, error.reason, error.status_code) == ("100%", "No", 403)


class Waiting(tornado.web.RequestHandler):
    async def get(self):
        seen["prepared"] = self._prepared_future
        await asyncio.sleep(0)
        seen["head"] = (self._reason, {**self._headers._as_list}, hasattr(self, "_new_cookie"))


@pytest.mark.gen_test
async def test_execute_waits_for_nothing(fetch, http_server):
    """`_execute` is a coroutine that waits only where `prepare` or the method waits.
    `_prepared_future` is None unless the body is a stream. The method may return any future.
    (endpoint/channels.py)

    `_reason` and `_headers` have the values that will be sent. `_as_list` has all values by name.
    (endpoint/shared_answers.py)
    """
    seen.clear()
    http_server.request_callback.add_handlers(".*", [("/waiting", Waiting)])
    steps = []
    execute = tornado.web.RequestHandler._execute

    def stepped(self, *args):
        running = execute(self, *args)
        steps.append(running.send(None))
        with pytest.raises(StopIteration):
            running.send(None)
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    Waiting._execute = stepped
    await fetch("/waiting")
    assert (steps, seen["prepared"]) == ([None], None)
    reason, headers, has_cookie = seen["head"]
    assert (reason, headers["Content-Type"], has_cookie) == (
        "OK",
        ["text/html; charset=UTF-8"],
        False,
    )


def test_headers():
    """Only three methods change headers, and they can be replaced by methods that do nothing.
    (push/stream_handler.py)
    """
    changing = {"__setitem__", "__delitem__", "add"}
    assert changing <= vars(HTTPHeaders).keys()


def test_cache_of_headers():
    """`_combined_cache` may be cleared, because it is computed from the values. (request.py,
    push/peer_handler.py)
    """
    headers = HTTPHeaders({"Host": "x"})
    headers.add("Accept", "a")
    headers.add("Accept", "b")
    before = dict(headers), list(headers.get_all())
    assert headers._combined_cache == {"Host": "x", "Accept": "a,b"}
    headers._combined_cache.clear()
    assert (dict(headers), list(headers.get_all())) == before
    headers._combined_cache.clear()
    headers["Host"] = "y"
    del headers["Accept"]
    assert dict(headers) == {"Host": "y"}


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/x-www-form-urlencoded; charset=utf-8", b"a=2&b=%C3%A9"),
        (
            "multipart/form-data; boundary=B",
            b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\n2\r\n'
            b'--B\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n\r\n3\r\n--B--\r\n',
        ),
        ("application/json", b"{}"),
    ],
)
def test_parse_body(content_type, body):
    """`_parse_body` fills `body_arguments`, `arguments` and `files`. The package's method fills
    them in the same way. (request.py)
    """
    start = RequestStartLine("POST", "/?a=1", "HTTP/1.1")
    requests = []
    for made in (HTTPServerRequest, Request):
        headers = HTTPHeaders({"Host": "x", "Content-Type": content_type})
        requests.append(made(start_line=start, headers=headers, body=body))
        requests[-1]._parse_body()
    tornado, ours = requests
    assert ours.body_arguments == tornado.body_arguments
    assert ours.arguments == tornado.arguments
    assert ours.files == tornado.files
    assert bool(ours.body_arguments) == ("form" in content_type)


class Strict(HTTP1Connection):
    def _parse_headers(self, data):
        seen["head"] = (data, self.stream._read_buffer_size)
        raise HTTPInputError("no")


class Watched(HTTPServer):
    def _handle_connection(self, connection, address):
        seen["accepted"] = (type(connection), address[0])
        super()._handle_connection(connection, address)

    def start_request(self, server_conn, request_conn):
        assert type(request_conn) is HTTP1Connection
        request_conn.__class__ = Strict
        return super().start_request(server_conn, request_conn)


@pytest.mark.gen_test
async def test_how_a_server_reads(raw):
    """A server passes each connection to `_handle_connection`. `_parse_headers` gets a head as it
    was sent, and may refuse it with `HTTPInputError`. `_read_buffer_size` counts the bytes that
    arrived with it. (server/http_server.py, strict_http.py)
    """
    seen.clear()
    server = Watched(tornado.web.Application())
    (listening,) = bind_sockets(0, "127.0.0.1")
    server.add_socket(listening)
    client = await raw(listening.getsockname()[1])
    head = b"GET / HTTP/1.1\nHost: x\r\n\r\n"
    await client.send(head + b"GET")
    assert (await client.read_all()).startswith(b"HTTP/1.1 400 ")
    assert seen == {"accepted": (socket.socket, "127.0.0.1"), "head": (head, 3)}
    server.stop()


class Last(HTTP1Connection):
    def write_headers(self, *args, **kwargs):
        seen["finishing"] = self._close_callback
        seen["headers"] = list(self._request_headers)
        self._disconnect_on_finish = True
        return super().write_headers(*args, **kwargs)


class Asking(tornado.web.RequestHandler):
    def get(self):
        seen["own"] = self.request.connection._close_callback.__self__ is self


class Stopping(HTTPServer):
    def start_request(self, server_conn, request_conn):
        seen["connection"] = (server_conn in self._connections, server_conn.stream)
        request_conn.__class__ = Last
        return super().start_request(server_conn, request_conn)


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.gen_test
async def test_the_last_answer(raw, keep):
    """`_connections` of a server has the connections that it reads from, each with its `stream`.
    The close callback of a request, `_close_callback`, is a method of its handler until the answer
    is complete. With `conn_params.no_keep_alive`, or if `_disconnect_on_finish` is set before the
    head of an answer is written, the answer is the last one and has `Connection: close`.
    `_request_headers` are the headers of the request. (server/http_server.py, strict_http.py)
    """
    seen.clear()
    server = Stopping(tornado.web.Application([("/", Asking)]))
    assert server.conn_params.no_keep_alive is False
    server.conn_params.no_keep_alive = keep
    (listening,) = bind_sockets(0, "127.0.0.1")
    server.add_socket(listening)
    client = await raw(listening.getsockname()[1])
    await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"Connection: close\r\n" in await client.read_all()
    assert (seen["own"], seen["finishing"], seen["headers"]) == (True, None, ["Host"])
    assert seen["connection"][0]
    assert isinstance(seen["connection"][1], IOStream)
    server.stop()


def test_headers_made_of_lists():
    """`_as_list` has the values by normalized name, and `HTTPHeaders` stores nothing else.
    (http1/head.py)
    """
    headers = HTTPHeaders.__new__(HTTPHeaders)
    headers._as_list, headers._combined_cache = {"Host": ["x"], "Accept": ["a", "b"]}, {}
    made = HTTPHeaders({"Host": "x"})
    made.add("Accept", "a")
    made.add("Accept", "b")
    assert vars(made).keys() == vars(headers).keys()
    assert (list(headers.get_all()), dict(headers)) == (list(made.get_all()), dict(made))
    assert headers == made


@pytest.mark.gen_test
async def test_gzip_delegate():
    """`_GzipMessageDelegate(delegate, chunk_size, max_body_size)` decodes a body.
    (server/fast_server.py)
    """
    parts = []

    class Delegate(HTTPMessageDelegate):
        def data_received(self, chunk):
            parts.append(chunk)

    delegate = _GzipMessageDelegate(Delegate(), 4, 100)
    line = RequestStartLine("POST", "/", "HTTP/1.1")
    delegate.headers_received(line, HTTPHeaders({"Content-Encoding": "gzip"}))
    await delegate.data_received(gzip.compress(b"abcdef"))
    delegate.finish()
    assert parts == [b"abcd", b"ef"]

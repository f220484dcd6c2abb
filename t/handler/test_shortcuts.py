"""The package replaces some of Tornado's steps for each request, with the same result.

These are also contract tests: they name parts of Tornado that its documentation does not.
"""

import asyncio
import inspect
import time
from types import SimpleNamespace

import hypothesis
import pytest
import tornado.gen
import tornado.web
from hypothesis import strategies
from support.wire import read_head
from tornado import httputil
from tornado.escape import parse_qs_bytes
from tornado.http1connection import HTTP1Connection, HTTP1ServerConnection
from tornado.httpserver import HTTPServer, _HTTPRequestContext
from tornado.httputil import (
    HTTPHeaders,
    HTTPInputError,
    HTTPServerRequest,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.routing import _DefaultMessageDelegate, _RoutingDelegate

from tatsumaki_py import Application, Handler, Request
from tatsumaki_py.done import done_future
from tatsumaki_py.lean_handler import _DATE
from tatsumaki_py.request_delegate import (
    HandlerDelegate,
    RoutingDelegate,
    TornadoApplication,
    _fields,
    lean,
    received,
)
from tatsumaki_py.strict_http import StrictConnection, StrictServing

seen = []


class Connection:
    def set_close_callback(self, callback):
        pass


class Defaults(tornado.web.RequestHandler):
    def set_default_headers(self):
        assert not hasattr(self, "_write_buffer") or self._write_buffer
        self.set_header("Server", "me")
        self.add_header("X-Mine", "1")


class Ours(Defaults, Handler):
    pass


class Plain(Handler):
    pass


def request(**headers):
    line = RequestStartLine("GET", "/?a=1&a=2", "HTTP/1.1")
    fields = HTTPHeaders({"Host": "x", **headers})
    return HTTPServerRequest(start_line=line, headers=fields, connection=Connection())


def cleared(kind):
    """The state after `clear`, without the date."""
    handler = kind(tornado.web.Application(), request())
    handler.set_status(404, "No")
    handler.set_header("X-Other", "1")
    handler.write("body")
    handler.clear()
    lines = [line for line in handler._headers.get_all() if line[0] != "Date"]
    dates = handler._headers.get_list("Date")
    status = (handler._status_code, handler._reason, handler._write_buffer)
    return lines, len(dates), list(handler._headers), status


@pytest.mark.parametrize(
    ("theirs", "ours"), [(tornado.web.RequestHandler, Plain), (Defaults, Ours)]
)
def test_clear(theirs, ours):
    """`clear` sets the headers `Server`, `Content-Type` and `Date`, calls `set_default_headers`,
    and sets `_write_buffer`, `_status_code` and `_reason`. (lean_handler.py)
    """
    assert cleared(ours) == cleared(theirs)


def test_date(monkeypatch):
    """The header Date has Tornado's format, and changes each second."""
    times = iter([1000000000.0, 1000000000.999, 1000000001.0])
    monkeypatch.setattr("time.time", lambda: next(times))
    assert [_DATE.now() for _ in range(3)] == [
        "Sun, 09 Sep 2001 01:46:40 GMT",
        "Sun, 09 Sep 2001 01:46:40 GMT",
        "Sun, 09 Sep 2001 01:46:41 GMT",
    ]


@pytest.mark.parametrize("sent", [{}, {"If-None-Match": '"a"'}, {"If-None-Match": '"b"'}])
def test_etag(sent):
    """`check_etag_header` compares with the header `If-None-Match`."""
    answers = []
    for kind in (tornado.web.RequestHandler, Plain):
        handler = kind(tornado.web.Application(), request(**sent))
        handler.set_header("Etag", '"a"')
        answers.append(handler.check_etag_header())
    assert answers == [sent.get("If-None-Match") == '"a"'] * 2


HOSTS = ["x", "x:80", "[::1]:80", "A.Example", "", None, "a,b", "a b", "a@b", "caf\xe9"]
TARGETS = ["/", "/a?b", "/?a=1&a=2&b=%41", "/?a=%FF&=1", "/?" + "&".join(["a=1"] * 5000), "*", "?"]


def outcome(make, target, version, host):
    """The attributes of a request, or the message of its refusal."""
    line = RequestStartLine("POST", target, version)
    headers = HTTPHeaders({} if host is None else {"Host": host})
    connection = SimpleNamespace(context=SimpleNamespace(remote_ip="1.2.3.4", protocol="https"))
    try:
        made = make(line, headers, connection)
    except HTTPInputError as error:
        return str(error)
    times = {"_start_time": 0}
    return {**vars(made), **times, "headers": list(headers.get_all()), "connection": None}


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("host", HOSTS)
def test_received(version, target, host):
    """A request has the attributes that the constructor of `HTTPServerRequest` sets, and is refused
    for the same reasons. (request_delegate.py)
    """

    def theirs(line, headers, connection):
        return HTTPServerRequest(
            start_line=line, headers=headers, connection=connection, server_connection="server"
        )

    def ours(line, headers, connection):
        return received(Request, connection, "server", line, headers)

    expected, found = (outcome(make, target, version, host) for make in (theirs, ours))
    if isinstance(expected, str):
        # Tornado's message for two hosts differs.
        assert found == expected.replace("Multiple host headers not allowed", "Invalid Host header")
    else:
        assert found == {**expected, "connection": None}
        if target.startswith("/?a=1&a"):
            made = ours(RequestStartLine("GET", target, version), HTTPHeaders({"Host": "x"}), None)
            made.query_arguments["a"].append(b"3")
            assert made.arguments["a"] == [b"1", b"2"]
            assert abs(made._start_time - time.monotonic()) < 60
            line = RequestStartLine("GET", target, version)
            plain = received(HTTPServerRequest, None, None, line, HTTPHeaders({"Host": "x"}))
            assert type(plain) is HTTPServerRequest
            assert 0 <= plain.request_time() < 60


@hypothesis.settings(derandomize=True, max_examples=300, deadline=None)
@hypothesis.given(strategies.text("ab=&;%4+#\xe9", max_size=12))
def test_fields(query):
    """The fields of a query are those of `parse_qs_bytes`, in the same order."""
    assert list(_fields(query).items()) == list(
        parse_qs_bytes(query, keep_blank_values=True).items()
    )


def test_the_limit_of_fields():
    """`set_parse_body_config` replaces `_DEFAULT_PARSE_BODY_CONFIG`. (request_delegate.py)"""
    before = httputil._DEFAULT_PARSE_BODY_CONFIG
    few = httputil.ParseBodyConfig(urlencoded=httputil.ParseUrlEncodedConfig(max_arguments=1))
    httputil.set_parse_body_config(few)
    try:
        line = RequestStartLine("GET", "/?a=1&b=1", "HTTP/1.0")
        with pytest.raises(HTTPInputError, match="Invalid query"):
            received(Request, None, None, line, HTTPHeaders())
    finally:
        httputil.set_parse_body_config(before)


def test_delegates():
    """`_RoutingDelegate` makes the request, asks `router.find_handler` for a `delegate`, and
    without one uses `_DefaultMessageDelegate`. `_HandlerDelegate` has what `execute` needs.
    (request_delegate.py)
    """
    theirs = tornado.web.Application([("/", tornado.web.RequestHandler)])
    ours = Application([("/", tornado.web.RequestHandler)])
    server, connection = object(), Connection()
    start, headers = RequestStartLine("GET", "/", "HTTP/1.1"), HTTPHeaders({"Host": "x"})
    made = [app.start_request(server, connection) for app in (theirs, ours)]
    assert [type(one) for one in made] == [_RoutingDelegate, RoutingDelegate]
    assert vars(made[1]) == {**vars(made[0]), "router": ours, "_kind": Request}
    for one in made:
        assert one.headers_received(start, headers) is None
    handling = [one.delegate for one in made]
    assert type(handling[1]) is HandlerDelegate
    assert vars(handling[0]).keys() == vars(handling[1]).keys()
    assert type(handling[1].request) is Request
    assert handling[1].request.server_connection is server
    names = set(inspect.getsource(type(handling[0]).execute).split())
    assert {"transforms", "=", "[t(self.request)"} <= names

    class Nowhere(Application):
        def find_handler(self, request, **kwargs):
            return None

    nothing = Nowhere().start_request(server, connection)
    nothing.headers_received(start, headers)
    assert type(nothing.delegate) is _DefaultMessageDelegate


@pytest.mark.parametrize("setting", ["compiled_template_cache", "static_hash_cache"])
@pytest.mark.gen_test
async def test_uncached(setting, monkeypatch):
    """With a setting of Tornado for development, Tornado's own code runs the handler."""
    app = Application([("/", tornado.web.RequestHandler)], **{setting: False})
    delegate = app.find_handler(request())
    monkeypatch.setattr(tornado.web._HandlerDelegate, "execute", lambda self: seen.append(self))
    seen.clear()
    delegate.execute()
    assert seen == [delegate]


class Failing(tornado.web.RequestHandler):
    async def get(self):
        seen.append(asyncio.current_task())

    def on_finish(self):
        raise SystemError("on purpose")


@pytest.fixture
def app():
    seen.clear()
    return Application([("/failing", Failing)])


@pytest.mark.gen_test
async def test_task(ask, expect_log):
    """A handler runs in a task with the coroutine `_execute`."""
    with expect_log("tornado.application", "Uncaught exception"):
        client = await ask("GET /failing")
        await read_head(client)
    (task,) = seen
    assert task.get_coro().cr_code is tornado.web.RequestHandler._execute.__code__


class Decorated(tornado.web.RequestHandler):
    @tornado.gen.coroutine
    def _execute(self, *args):
        yield super()._execute(*args)


@pytest.mark.gen_test
async def test_future(fetch, app):
    """An override of `_execute` may return a future, as coroutines of `tornado.gen` do."""
    app.route("/decorated", type("Late", (Decorated,), {"get": lambda self: self.write("late")}))
    assert (await fetch("/decorated")).body == b"late"


def test_lean():
    """A delegate that is not a router is not replaced."""
    app = tornado.web.Application()
    assert type(lean(app)) is TornadoApplication
    app.start_request = lambda *args: None
    assert lean(app) is app
    assert lean(print) is print


HEADERS = [
    {},
    {"Content-Length": "3"},
    {"Content-Length": "+3"},
    {"X": "a\nb"},
    {"X": b"bytes", "Connection": "close"},
]


class Written:
    """Replaces an `IOStream`."""

    max_buffer_size = 1000

    def __init__(self, closed):
        self.closed = lambda: closed
        self.data = []
        self.set_close_callback = self.close = lambda *args: None

    def write(self, data):
        self.data.append(data)
        return done_future()


def written(kind, line, asked, code, headers, closed=False, last=False):
    """Returns the changes that an answer makes to the stream and to the connection."""
    connection = kind(Written(closed), False)
    connection._request_start_line, connection._request_headers = line, HTTPHeaders(asked)
    connection._disconnect_on_finish = last
    sent = HTTPHeaders(headers)
    head = ResponseStartLine("HTTP/1.1", code, "Any \xe4")
    try:
        future = connection.write_headers(
            head, sent, b"abc" if code == 200 and line.method == "GET" else None
        )
    except ValueError as error:
        return type(error)
    state = {
        name: value
        for name, value in vars(connection).items()
        if isinstance(value, (int, bool, str, tuple, type(None)))
    }
    return connection.stream.data, state, future.done(), list(sent.get_all())


@pytest.mark.parametrize("headers", HEADERS)
@pytest.mark.parametrize("code", [101, 200, 204, 304])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.gen_test
async def test_heads_of_answers(method, code, headers):
    """`write_headers` sends Tornado's bytes and sets the same names. (strict_http.py)"""
    for version in ("HTTP/1.0", "HTTP/1.1"):
        line = RequestStartLine(method, "/", version)
        for asked in ({}, {"Connection": "Keep-Alive"}):
            for last in (False, True):
                theirs, ours = (
                    written(kind, line, asked, code, headers, last=last)
                    for kind in (HTTP1Connection, StrictConnection)
                )
                if isinstance(theirs, tuple):
                    # Tornado sends the phrase in UTF-8, and the rest in Latin-1.
                    theirs[0][0] = theirs[0][0].replace(b"\xc3\xa4", b"\xe4")
                assert ours == theirs
        closed = [
            written(kind, line, {}, code, {}, closed=True)
            for kind in (HTTP1Connection, StrictConnection)
        ]
        assert closed[0] == closed[1]


def test_serving():
    """`HTTPServer.handle_stream` makes a `_HTTPRequestContext` and an `HTTP1ServerConnection`, adds
    it to `_connections` and starts it. Its `_server_request_loop` reads one request after the
    other. (server/http_server.py, strict_http.py)
    """
    source = inspect.getsource(HTTPServer.handle_stream)
    assert "_HTTPRequestContext(" in source
    assert "HTTP1ServerConnection(stream, self.conn_params, context)" in source
    assert "self._connections.add(conn)\n        conn.start_serving(self)" in source
    assert list(inspect.signature(_HTTPRequestContext).parameters) == [
        "stream",
        "address",
        "protocol",
        "trusted_downstream",
    ]
    theirs = HTTP1ServerConnection._server_request_loop.__code__
    ours = StrictServing._server_request_loop.__code__
    own = {"StrictConnection", "_read_buffer_size"}
    assert set(ours.co_names) - set(theirs.co_names) == own
    assert set(theirs.co_names) - set(ours.co_names) == {"HTTP1Connection", "iostream"}

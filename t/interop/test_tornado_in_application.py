"""Tornado's own handlers send the same bytes in our `Application` as in a plain one."""

import re

import pytest
import tornado.web
from tornado.routing import HostMatches
from tornado.testing import bind_unused_port
from tornado.web import Finish, HTTPError, url
from tornado.websocket import WebSocketHandler, websocket_connect

from tatsumaki_py import Application, Error, Handler, MessageQueue


class Plain(tornado.web.RequestHandler):
    def initialize(self, word="plain"):
        self.word = word

    def get(self):
        self.set_cookie("a", "b")
        self.write({"word": self.word, "url": self.reverse_url("named", "x")})

    def post(self):
        self.write(self.get_argument("a"))

    def put(self):
        raise HTTPError(403)


class Throws(tornado.web.RequestHandler):
    def get(self):
        raise Error.HTTP(403, "text for our own handlers")


class Coroutine(tornado.web.RequestHandler):
    async def get(self):
        for chunk in "abc":
            self.write(chunk)
            await self.flush()


class Rendered(tornado.web.RequestHandler):
    def get(self):
        self.write(self.render_string("page.html", who="you"))


class Wsgi:
    """A callback of `FallbackHandler`."""

    def __call__(self, request):
        request.connection.write_headers(
            tornado.httputil.ResponseStartLine("HTTP/1.1", 200, "OK"),
            tornado.httputil.HTTPHeaders({"Content-Length": "8"}),
            b"fallback",
        )
        request.connection.finish()


class Echo(WebSocketHandler):
    def on_message(self, message):
        self.write_message(f"echo {message}")


class Queue(WebSocketHandler):
    """A WebSocket that gets events from the queue."""

    def open(self):
        self.poll = MessageQueue.instance("interop").poll("me", self.on_new_event)

    def on_new_event(self, *events):
        for event in events:
            self.write_message(event)

    def on_close(self):
        self.poll.cancel()


class Raises(Handler):
    def get(self, what):
        raise {"error": HTTPError(403), "finish": Finish("x")}[what]


def rules(tmp_path):
    (tmp_path / "file.txt").write_text("file")
    (tmp_path / "page.html").write_text("<p>{{ who }}</p>")
    return [
        ("/plain", Plain),
        url(r"/named/(\w+)", Plain, {"word": "named"}, name="named"),
        ("/redirect", tornado.web.RedirectHandler, {"url": "/plain"}),
        ("/found/(.*)", tornado.web.RedirectHandler, {"url": "/plain?{0}", "permanent": False}),
        ("/files/(.*)", tornado.web.StaticFileHandler, {"path": str(tmp_path)}),
        ("/fallback", tornado.web.FallbackHandler, {"fallback": Wsgi()}),
        ("/error", tornado.web.ErrorHandler, {"status_code": 410}),
        ("/nested/.*", [("/nested/a", Plain, {"word": "nested"})]),
        (HostMatches(r"host\.example"), [("/host", Plain, {"word": "host"})]),
        ("/throws", Throws),
        ("/coroutine", Coroutine),
        ("/rendered", Rendered),
        ("/echo", Echo),
    ]


@pytest.fixture
def app(tmp_path):
    ours = [(r"/raises/(\w+)", Raises), ("/queue", Queue)]
    return Application([*rules(tmp_path), *ours], template_path=str(tmp_path), cookie_secret="s")


@pytest.fixture
def plain_port(io_loop, tmp_path):
    """The port of a plain application with the same rules."""
    app = tornado.web.Application(rules(tmp_path), template_path=str(tmp_path), cookie_secret="s")
    server = tornado.httpserver.HTTPServer(app)
    sock, port = bind_unused_port()
    server.add_socket(sock)
    yield port
    server.stop()


@pytest.mark.parametrize(
    "request_line",
    [
        "GET /plain",
        "POST /plain",
        "PUT /plain",
        "HEAD /plain",
        "FOO /plain",
        "GET /named/x",
        "GET /redirect",
        "GET /found/a=1",
        "GET /files/file.txt",
        "HEAD /files/file.txt",
        "GET /files/nope",
        "GET /fallback",
        "POST /error",
        "GET /nested/a",
        "GET /host",
        "GET /throws",
        "GET /coroutine",
        "GET /rendered",
        "GET /echo",
    ],
)
@pytest.mark.gen_test
async def test_same_bytes(ask, raw, plain_port, log_watch, request_line):
    """Status, headers and body are those of a plain application."""
    request = (
        f"{request_line} HTTP/1.1\r\nHost: host.example\r\nConnection: close\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 3\r\n\r\na=b"
    )
    answers = []
    for client in (await ask("GET /plain"), await raw(plain_port)):
        if not answers:
            await client.read_until(b"}")
        await client.send(request.encode())
        answers.append(re.sub(rb"\r\nDate: [^\r]+", b"", await client.read_all()))
    log_watch.unexpected.clear()
    assert answers[0] == answers[1]
    assert answers[0].startswith(b"HTTP/1.1 ")


@pytest.mark.gen_test
async def test_websocket(http_server, http_port):
    """A `WebSocketHandler` can exchange messages, and can get events from the queue."""
    echo = await websocket_connect(f"ws://127.0.0.1:{http_port}/echo")
    await echo.write_message("hello")
    assert await echo.read_message() == "echo hello"
    echo.close()
    assert await echo.read_message() is None
    mq = MessageQueue.instance("interop")
    queue = await websocket_connect(f"ws://127.0.0.1:{http_port}/queue")
    mq.publish({"n": 1})
    assert await queue.read_message() == '{"n": 1}'
    queue.close()
    assert await queue.read_message() is None


@pytest.mark.gen_test
async def test_error_http_in_a_plain_handler(fetch):
    """An `Error.HTTP` in a plain handler sets the status; its message is neither sent nor
    logged.
    """
    answer = await fetch("/throws")
    assert answer.code == 403
    assert b"text for our own handlers" not in answer.body


@pytest.mark.gen_test
async def test_exceptions_of_tornado_in_a_handler(fetch):
    """`HTTPError` and `Finish` work in a `Handler` as Tornado documents."""
    answer = await fetch("/raises/error")
    assert (answer.code, answer.body) == (403, b"Forbidden")
    answer = await fetch("/raises/finish")
    assert (answer.code, answer.body) == (200, b"x")

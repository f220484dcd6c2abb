"""A `Handler` works in a plain `tornado.web.Application`, with all that Tornado offers."""

import asyncio
import json
import re
from pathlib import Path

import pytest
import tornado.web
from support.answers import until
from tornado.web import authenticated, stream_request_body, url

from tatsumaki_py import Error, Handler, MessageQueue

HERE = Path(__file__).parent
hooks = []


class Base(Handler):
    """A handler that overrides every hook without super(), as Tornado allows."""

    def initialize(self, db=None):
        self.db = db

    def prepare(self):
        hooks.append("prepare")

    def on_finish(self):
        hooks.append("on_finish")

    def on_connection_close(self):
        hooks.append("on_connection_close")

    def set_default_headers(self):
        self.set_header("X-Default", "1")

    def get_current_user(self):
        return self.get_cookie("user")


class Everything(Base):
    def get(self):
        self.write([self.db, isinstance(self.request, tornado.httputil.HTTPServerRequest)])

    def put(self):
        Error.HTTP.throw(409, "taken")


class Poll(Base):
    asynchronous = True

    def get(self, channel):
        MessageQueue.instance(channel).poll_once("me", self.on_new_event)

    def on_new_event(self, *events):
        self.finish(events)


class Push(Poll):
    def get(self, channel):
        self.multipart_xhr_push(True)
        MessageQueue.instance(channel).poll("me", self.stream_write)


class Page(Base):
    @authenticated
    def get(self):
        self.render("page.html", {"user": self.current_user})


@stream_request_body
class Upload(Base):
    def prepare(self):
        self.size = 0

    def data_received(self, chunk):
        self.size += len(chunk)

    def post(self):
        self.write([self.size, self.request.body == b""])


@stream_request_body
class SlowUpload(Upload):
    asynchronous = True

    async def data_received(self, chunk):
        await asyncio.sleep(0)


class Badge(tornado.web.UIModule):
    def render(self, user):
        return f"<b>{user}</b>"


@pytest.fixture
def app(tmp_path):
    hooks.clear()
    (tmp_path / "a.css").write_text("a {}")
    return tornado.web.Application(
        [
            url("/everything", Everything, {"db": "database"}),
            url(r"/poll/(\w+)", Poll, name="poll"),
            url(r"/push/(\w+)", Push),
            url("/page", Page),
            url("/upload", Upload),
            url("/slow", SlowUpload),
        ],
        template_path=str(HERE / "templates"),
        static_path=str(tmp_path),
        ui_modules={"Badge": Badge},
        xsrf_cookies=True,
        compress_response=True,
        login_url="/login",
    )


XSRF = {"Cookie": "_xsrf=token", "X-Xsrftoken": "token"}


@pytest.mark.gen_test
async def test_json_list(fetch):
    """A list is sent as JSON; `initialize` gets its arguments; the default headers and hooks are
    applied.
    """
    answer = await fetch("/everything")
    assert (answer.body, answer.headers["X-Default"]) == (b'["database",true]', "1")
    assert answer.headers["Content-Type"] == "application/json"
    assert "Etag" in answer.headers
    assert hooks == ["prepare", "on_finish"]


@pytest.mark.gen_test
async def test_head(fetch):
    """HEAD is answered like GET, without a body, for a page, a long poll and a stream."""
    get, head = await fetch("/everything"), await fetch("/everything", method="HEAD")
    assert (head.code, head.body) == (200, b"")
    assert head.headers["Etag"] == get.headers["Etag"]
    for path in ("/poll/a", "/push/a"):
        assert (await fetch(path, method="HEAD")).code == 200
    assert not MessageQueue.instance("a").clients


@pytest.mark.gen_test
async def test_errors(fetch, expect_log):
    """A wrong method gets a 405 with Allow, a forged request a 403, and an `Error.HTTP` its
    text.
    """
    answer = await fetch("/everything", method="DELETE", headers=XSRF)
    assert (answer.code, answer.headers["Allow"]) == (405, "GET, HEAD, PUT")
    assert (await fetch("/everything", method="FOO")).code == 405
    answer = await fetch("/everything", method="PUT", headers=XSRF)
    assert (answer.code, answer.body) == (409, b"taken")
    assert answer.headers["X-Default"] == "1"
    with expect_log("tornado.general", "XSRF|xsrf"):
        answer = await fetch("/everything", method="PUT")
    assert (answer.code, answer.body) == (403, b"Forbidden")


@pytest.mark.gen_test
async def test_long_poll(ask):
    """A long poll is answered with an event, compressed or not, and its client may leave."""
    client = await ask("GET /poll/a", "Accept-Encoding: gzip")
    await until(lambda: MessageQueue.instance("a").clients)
    MessageQueue.instance("a").publish({"n": 1})
    assert b'[{"n":1}]' in await client.read_until(b"]")
    hooks.clear()
    client = await ask("GET /poll/b")
    await asyncio.sleep(0.01)
    client.close()
    await until(lambda: "on_finish" in hooks)
    assert hooks == ["prepare", "on_connection_close", "on_finish"]


@pytest.mark.gen_test
async def test_push(ask):
    """A multipart stream is never compressed, and its client may leave."""
    client = await ask("GET /push/a", "Accept-Encoding: gzip")
    head = await client.read_until(b"\r\n\r\n")
    assert b"Content-Encoding" not in head
    boundary = re.search(rb'boundary="(\w+)"', head)[1]
    await client.read_until(b"--" + boundary + b"\n")
    MessageQueue.instance("a").publish({"n": 1})
    part = await client.read_until(b"--" + boundary + b"\n")
    assert b'Content-Type: application/json\n\n{"n":1}\n' in part
    client.reset()
    await until(lambda: "on_finish" in hooks)
    assert hooks == ["prepare", "on_connection_close", "on_finish"]


@pytest.mark.gen_test
async def test_render(fetch):
    """A page can use a UI module, reverse_url, static_url, xsrf_form_html and the locale, and leads
    to the login.
    """
    answer = await fetch("/page", headers={"Cookie": "user=bob"})
    page = answer.body.decode()
    assert page.startswith("<b>bob</b> /poll/x /static/a.css?v=")
    assert '<input type="hidden" name="_xsrf"' in page
    assert page.strip().endswith("en_US")
    answer = await fetch("/page")
    assert (answer.code, answer.headers["Location"]) == (302, "/login?next=%2Fpage")


@pytest.mark.gen_test
async def test_stream_request_body(fetch, ask):
    """A body can be read in pieces, and its client may leave in the middle."""
    answer = await fetch("/upload", method="POST", body=b"x" * 200_000, headers=XSRF)
    assert json.loads(answer.body) == [200_000, True]
    client = await ask("POST /slow", "Content-Length: 100", *map(": ".join, XSRF.items()))
    await client.send(b"some")
    await asyncio.sleep(0.01)
    client.close()
    await until(lambda: "on_connection_close" in hooks)
    await asyncio.sleep(0.01)

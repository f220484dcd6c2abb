"""Tornado's settings work in an application."""

import pytest
import tornado.web

from tatsumaki_py import Application, Handler

logged = []


class Echo(Handler):
    def get(self):
        self.write("x" * 2000)

    def post(self):
        self.write(self.current_user or "nobody")

    def get_current_user(self):
        return self.settings["mine"]


class Stream(Handler):
    async def get(self):
        self.response.content_type = self.request.param("type")
        await self.stream_write("x" * 2000)


class Flushed(Handler):
    async def get(self):
        self.write("x" * 2000)
        await self.flush()
        await self.stream_write("y")


class Elsewhere(tornado.web.RequestHandler):
    def initialize(self, code):
        self.code = code

    def prepare(self):
        self.set_status(self.code)
        self.finish("elsewhere")


RULES = [("/", Echo), ("/stream", Stream), ("/flushed", Flushed)]


@pytest.fixture
def app(request):
    logged.clear()
    marker = request.node.get_closest_marker("parametrize")
    return Application(RULES, mine="me", **(request.param if marker else {}))


def settings(**values):
    return pytest.mark.parametrize("app", [values], indirect=True, ids=["settings"])


@settings(log_function=logged.append)
@pytest.mark.gen_test
async def test_log_function(fetch, app):
    """`log_function` is called for every request, even for unknown paths."""
    await fetch("/")
    await fetch("/nowhere")
    assert [handler.get_status() for handler in logged] == [200, 404]


@settings(xsrf_cookies=True)
@pytest.mark.gen_test
async def test_xsrf_cookies(fetch, app, expect_log):
    """A POST without the XSRF token is answered with 403; one to an unknown path, with 404."""
    with expect_log("tornado.general", "_xsrf"):
        answer = await fetch("/", method="POST")
    assert (answer.code, answer.body) == (403, b"Forbidden")
    answer = await fetch("/", method="POST", headers={"Cookie": "_xsrf=a", "X-Xsrftoken": "a"})
    assert answer.body == b"me"
    assert (await fetch("/nowhere", method="POST")).code == 404


@settings(cross_origin_protection=True)
@pytest.mark.gen_test
async def test_cross_origin_protection(fetch, app, log_watch):
    """A POST from a page of another site is answered with 403; one to an unknown path, with 404."""
    headers = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    answer = await fetch("/", method="POST", headers=headers)
    assert (answer.code, answer.body) == (403, b"Forbidden")
    log_watch.unexpected.clear()
    assert (await fetch("/", method="POST", headers={"Sec-Fetch-Site": "same-origin"})).code == 200
    assert (await fetch("/nowhere", method="POST", headers=headers)).code == 404


@settings(compress_response=True)
@pytest.mark.gen_test
async def test_compress_response(ask, app):
    """Answers are compressed, but streams are not."""
    client = await ask("GET /", "Accept-Encoding: gzip", "Connection: close")
    answer = await client.read_all()
    assert b"Content-Encoding: gzip" in answer
    assert len(answer) < 1000
    for kind in ("text/plain", "text/event-stream", "application/json"):
        client = await ask(f"GET /stream?type={kind}", "Accept-Encoding: gzip")
        answer = await client.read_all()
        assert b"x" * 2000 in answer
        assert b"gzip" not in answer


@settings(compress_response=True)
@pytest.mark.gen_test
async def test_compressed_before_it_streams(ask, app, expect_log):
    """`stream_write` raises a RuntimeError after `flush` has begun a compressed answer."""
    with (
        expect_log("tornado.application", "Uncaught exception GET /flushed") as records,
        expect_log("tornado.general", "Cannot send error response after headers written"),
    ):
        client = await ask("GET /flushed", "Accept-Encoding: gzip", "Connection: close")
        await client.read_all()
    assert records[0].exc_info[0] is RuntimeError


@settings(default_handler_class=Elsewhere, default_handler_args={"code": 410})
@pytest.mark.gen_test
async def test_default_handler_class(fetch, app):
    """`default_handler_class` answers requests for unknown paths."""
    answer = await fetch("/nowhere")
    assert (answer.code, answer.body) == (410, b"elsewhere")


@settings(debug=True, autoreload=False)
@pytest.mark.gen_test
async def test_debug(fetch, app):
    """The settings `debug=True` and `autoreload=False` work together."""
    assert app.settings["serve_traceback"]
    assert (await fetch("/")).code == 200


@settings(default_host="b.example")
@pytest.mark.gen_test
async def test_default_host(fetch, app):
    """The rules of `default_host` also match other hosts, except with the header X-Real-Ip."""
    app.add_handlers("b.example", [("/b", Echo)])
    assert (await fetch("/b", headers={"X-Real-Ip": "1.1.1.1"})).code == 404
    assert (await fetch("/b", headers={"Host": "c.example"})).code == 200


def test_positional_arguments():
    """The constructor has the same positional arguments as Tornado's."""
    transform = tornado.web.OutputTransform
    app = Application(RULES, "host", [transform])
    assert (app.default_host, app.transforms) == ("host", [transform])

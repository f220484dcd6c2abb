"""Static files."""

import os

import pytest
import tornado.web

from tatsumaki_py import Application, Handler


class Url(Handler):
    def get(self):
        self.write(self.static_url("a.css"))


class Mine(Handler):
    def get(self, path=None):
        self.write("a route")


@pytest.fixture
def files(tmp_path):
    for name, text in {
        "one/a.css": "a {}",
        "one/favicon.ico": "icon",
        "one/robots.txt": "robots",
        "one/sub/b.txt": "b",
        "two/a.css": "two {}",
        "secret": "secret",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
def app(files):
    return Application([("/url", Url), ("/(.*)", Mine)])


@pytest.mark.parametrize("kind", [str, lambda path: path])
@pytest.mark.gen_test
async def test_set_later(fetch, app, files, kind):
    """`static_path` can be set at any time, as text or as a path; files come before routes."""
    assert (await fetch("/static/a.css")).body == b"a route"
    app.static_path = kind(files / "one")
    assert app.static_path == app.settings["static_path"] == str(files / "one")
    answer = await fetch("/static/a.css")
    assert (answer.code, answer.body) == (200, b"a {}")
    assert answer.headers["Content-Type"] == "text/css; charset=utf-8"
    assert (await fetch("/static/sub/b.txt")).body == b"b"
    assert (await fetch("/favicon.ico")).body == b"icon"
    assert (await fetch("/robots.txt")).body == b"robots"
    assert (await fetch("/other")).body == b"a route"


@pytest.mark.gen_test
async def test_changed_and_switched_off(fetch, app, files):
    """A new `static_path` takes effect immediately; without one, routes get the paths again."""
    app.static_path = files / "one"
    app.static_path = files / "two"
    assert (await fetch("/static/a.css")).body == b"two {}"
    for off in ("", None):
        app.static_path = files / "two"
        app.static_path = off
        assert app.static_path is None
        assert (await fetch("/static/a.css")).body == b"a route"
    app.static_path = files / "one"
    assert (await fetch("/static/a.css")).body == b"a {}"


@pytest.mark.gen_test
async def test_conditional(fetch, app, files):
    """Conditional requests, ranges and HEAD work for static files."""
    app.static_path = files / "one"
    os.utime(files / "one/a.css", (1e9, 1e9))
    answer = await fetch("/static/a.css")
    for header, value in (
        ("If-None-Match", answer.headers["Etag"]),
        ("If-Modified-Since", answer.headers["Last-Modified"]),
    ):
        assert (await fetch("/static/a.css", headers={header: value})).code == 304
    answer = await fetch("/static/a.css", headers={"Range": "bytes=0-0"})
    assert (answer.code, answer.body) == (206, b"a")
    answer = await fetch("/static/a.css", method="HEAD")
    assert (answer.headers["Content-Length"], answer.body) == ("4", b"")
    assert (await fetch("/static/a.css", method="POST")).code == 405


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/static/nope", 404),
        ("/static/sub", 403),
        ("/static/", 403),
        ("/static/..", 403),
        ("/static/../secret", 403),
        ("/static/%2e%2e/secret", 403),
        ("/static/..%2fsecret", 403),
        ("/static/sub/../../secret", 403),
        ("/static//etc/hostname", 403),
        ("/static/a.css%00", 404),
        ("/static/%00", 404),
        ("/static/" + "x" * 300, 404),
    ],
)
@pytest.mark.gen_test
async def test_outside(ask, app, files, log_watch, path, code):
    """No file outside the directory is served, and odd paths are answered with 403 or 404."""
    app.static_path = files / "one"
    client = await ask(f"GET {path}", "Connection: close")
    answer = await client.read_all()
    log_watch.unexpected[:] = [
        record for record in log_watch.unexpected if record.name != "tornado.general"
    ]
    assert answer.startswith(b"HTTP/1.1 %d " % code)
    assert not answer.endswith(b"secret")


@pytest.mark.gen_test
async def test_static_url(fetch, app, files):
    """The URL of a file changes with the file."""
    app.static_path = files / "one"
    one = (await fetch("/url")).body.decode()
    assert one.startswith("/static/a.css?v=")
    assert (await fetch(one)).body == b"a {}"
    app.static_path = files / "two"
    assert (await fetch("/url")).body.decode() != one


class TestSettings:
    """Tornado's settings about static files."""

    class Loud(tornado.web.StaticFileHandler):
        def set_extra_headers(self, path):
            self.set_header("X-Loud", "1")

    @pytest.fixture
    def app(self, files):
        return Application(
            [("/url", Url)],
            static_path=files / "one",
            static_url_prefix="/assets.d/",
            static_handler_class=self.Loud,
            static_handler_args={"default_filename": "a.css"},
        )

    @pytest.mark.gen_test
    async def test_settings(self, fetch, app, files):
        """All settings about static files work, even after `static_path` is changed."""
        for directory, body in (("one", b"a {}"), ("two", b"two {}")):
            app.static_path = files / directory
            answer = await fetch("/assets.d/")
            assert (answer.body, answer.headers["X-Loud"]) == (body, "1")
            assert (await fetch("/assetsxd/a.css")).code == 404
            assert (await fetch("/static/a.css")).code == 404
            assert (await fetch("/url")).body.startswith(b"/assets.d/a.css?v=")

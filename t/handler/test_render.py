"""Templates."""

import os
import sys
import types
from pathlib import Path

import pytest
import tornado.web

from tatsumaki_py import Application, Handler


class Render(Handler):
    def get(self, name):
        self.render(name, {"name": "a", "other": 1}, {"name": "<b>"})


class Keyword(Handler):
    async def get(self):
        await self.render("page.html", {"name": "a"}, name="kw")


class Later(Handler):
    asynchronous = True

    def get(self):
        self.async_cb(self.answer)()

    def answer(self):
        self.render("page.html", name="later")


class Plain(tornado.web.RequestHandler):
    def get(self):
        self.render("page.html", name="plain")


class Shout(tornado.web.UIModule):
    def render(self, text):
        return text.upper() + "!"


class Engine:
    """A template engine needs only these two names."""

    def __init__(self):
        self.include_path = []

    def render_file(self, name, args):
        return f"{name} {args['name']} {args['handler'].request.path} {args['static_url']('a.css')}"


def application(**settings):
    rules = [(r"/render/(.+)", Render), ("/keyword", Keyword), ("/later", Later)]
    return Application([*rules, ("/plain", Plain)], ui_modules={"Shout": Shout}, **settings)


@pytest.fixture
def app():
    return application()


@pytest.fixture
def files(tmp_path):
    """Makes two directories with templates."""
    for path, text in {
        "one/page.html": "one: {{ name }}",
        "two/page.html": "two: {{ name }}",
        "two/only.html": "{% extends 'base.html' %}{% block b %}only {{ name }}{% end %}",
        "one/base.html": "[{% block b %}{% end %}]",
        "one/module.html": "{% module Shout('hey') %} {{ reverse_url('x') if 0 else '' }}",
        "one/raw.html": "{% raw name %} {{ name }} caf\u00e9",
        "one/broken.html": "{% if %}",
        "one/undefined.html": "{{ nothing }}",
        "secret.html": "secret",
    }.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.gen_test
async def test_beside_the_module(fetch):
    """Without `template_path`, templates are beside the module, and see Tornado's names."""
    answer = await fetch("/render/page.html")
    assert answer.body == b"<p>Hello &lt;b&gt;, /render/page.html</p>\n"
    assert answer.headers["Content-Type"] == "text/html; charset=UTF-8"


@pytest.mark.gen_test
async def test_keywords_win(fetch):
    """Keyword arguments win over dicts."""
    assert b"Hello kw" in (await fetch("/keyword")).body
    assert b"Hello later" in (await fetch("/later")).body


@pytest.mark.gen_test
async def test_module_without_a_file(fetch, monkeypatch):
    """For a handler that was typed into an interpreter, templates are in the current directory."""
    monkeypatch.setitem(sys.modules, "typed", types.ModuleType("typed"))
    monkeypatch.setattr(Render, "__module__", "typed")
    monkeypatch.chdir(Path(__file__).parent)
    assert (await fetch("/render/page.html")).code == 200


@pytest.mark.parametrize("kind", [str, Path])
@pytest.mark.gen_test
async def test_template_path(fetch, app, files, kind):
    """`template_path` may be a str or a path, and also works for plain handlers."""
    app.template_path = kind(files / "one")
    assert (await fetch("/render/page.html")).body == b"one: &lt;b&gt;"
    assert (await fetch("/plain")).body == b"one: plain"
    assert (await fetch("/render/raw.html")).body.decode() == "<b> &lt;b&gt; caf\u00e9"
    assert (await fetch("/render/module.html")).body == b"HEY! "


@pytest.mark.gen_test
async def test_template_path_list(fetch, app, files):
    """A list of directories is searched in order. It may be changed."""
    app.template_path = [files / "one", str(files / "two")]
    assert (await fetch("/render/page.html")).body == b"one: &lt;b&gt;"
    assert (await fetch("/render/only.html")).body == b"[only &lt;b&gt;]"
    app.template_path = [files / "two", files / "one"]
    assert (await fetch("/render/page.html")).body == b"two: &lt;b&gt;"


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("nope.html", FileNotFoundError),
        ("broken.html", tornado.template.ParseError),
        ("undefined.html", NameError),
        ("../secret.html", ValueError),
        (str(Path(os.sep, "etc", "hostname")), ValueError),
    ],
)
@pytest.mark.gen_test
async def test_mistakes(fetch, app, files, expect_log, name, error):
    """A template that is missing, broken or outside causes a 500 and a log line."""
    app.template_path = [files / "one"]
    with expect_log("tornado.application", "Uncaught exception") as records:
        answer = await fetch(f"/render/{name}")
    assert (answer.code, answer.body) == (500, b"Internal Server Error")
    assert isinstance(records[0].exc_info[1], error)


@pytest.mark.gen_test
async def test_engine(fetch, app, tmp_path):
    """Another engine may render, and also gets Tornado's names."""
    app.template = Engine()
    app.template_path = tmp_path
    (tmp_path / "a.css").write_text("")
    app.static_path = tmp_path
    assert app.template.include_path == [str(tmp_path)]
    answer = await fetch("/render/x.html")
    assert answer.body.startswith(b"x.html <b> /render/x.html /static/a.css?v=")
    assert answer.headers["Content-Type"] == "text/html; charset=UTF-8"

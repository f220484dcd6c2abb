"""The loader: templates that refer to other templates, and the methods that Tornado needs."""

import threading
import time

import pytest
import tornado.template
import tornado.web

from tatsumaki_py.template import SearchLoader


@pytest.fixture
def dirs(tmp_path):
    files = {
        "a/page.html": "{% extends 'base.html' %}{% block b %}{% include 'mail/x.html' %}{% end %}",
        "b/base.html": "[{% block b %}{% end %}]",
        "a/mail/x.html": "{% include 'part.html' %}{% include '../top.html' %}",
        "b/mail/part.html": "part of b",
        "a/part.html": "wrong part",
        "b/top.html": ", top",
        "a/out.html": "{% include '../secret' %}",
        "secret": "secret",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return [tmp_path / "a", tmp_path / "b"]


def test_extends_and_include(dirs):
    """A name is relative to the template that contains it, and is searched in all directories."""
    loader = SearchLoader(dirs)
    assert loader.load("page.html").generate() == b"[part of b, top]"


def test_include_does_not_lead_out(dirs):
    """A template cannot include a file outside the directories."""
    with pytest.raises(ValueError, match=r"leads outside the include_path: '\.\./secret'"):
        SearchLoader(dirs).load("out.html")


@pytest.mark.parametrize(
    ("name", "parent"),
    [
        ("part.html", None),
        ("part.html", "mail/x.html"),
        ("../top.html", "mail/x.html"),
        ("mail/x.html", "page.html"),
        ("part.html", "<string>"),
    ],
)
def test_resolves_as_tornado_does(dirs, name, parent):
    """`resolve_path` returns the same names as Tornado's loader."""
    tornados = tornado.template.Loader(str(dirs[0]))
    assert SearchLoader(dirs).resolve_path(name, parent) == tornados.resolve_path(name, parent)


def test_of_a_string(dirs):
    """A template from a string can include files."""
    template = tornado.template.Template("{% include 'top.html' %}", loader=SearchLoader(dirs))
    assert template.generate() == b", top"


def test_kept_until_reset(dirs):
    """`load` returns the same template until `reset`."""
    loader = SearchLoader(dirs)
    first = loader.load("page.html")
    assert loader.load("page.html") is first
    loader.reset()
    assert loader.load("page.html") is not first


def test_relative_directory(dirs, monkeypatch):
    """A relative directory is resolved when the loader is created."""
    monkeypatch.chdir(dirs[0].parent)
    loader = SearchLoader("b")
    monkeypatch.chdir("/")
    assert loader.load("top.html").generate() == b", top"


def test_threads(dirs, monkeypatch):
    """Threads that load the same template at the same time compile it once."""
    compiled = []

    class Counted(tornado.template.Template):
        def __init__(self, *args, **kwargs):
            compiled.append(kwargs["name"])
            time.sleep(0.01)  # long enough for the other threads to get here
            super().__init__(*args, **kwargs)

    monkeypatch.setattr(tornado.template, "Template", Counted)
    loader = SearchLoader(dirs)
    barrier = threading.Barrier(8)
    got = []

    def load():
        barrier.wait()
        got.append(loader.load("page.html"))

    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 8
    assert len(set(map(id, got))) == 1
    assert sorted(compiled) == sorted(set(compiled))


class Page(tornado.web.RequestHandler):
    def get(self):
        self.render("page.html")


@pytest.fixture
def app(dirs):
    return tornado.web.Application([("/", Page)], template_loader=SearchLoader(dirs))


@pytest.mark.gen_test
async def test_setting_of_tornado(http_server, http_client, base_url):
    """The loader works as `template_loader` of a plain Tornado application."""
    assert (await http_client.fetch(base_url)).body == b"[part of b, top]"

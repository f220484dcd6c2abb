"""`template_path`, `template` and `render_file` of an application."""

from pathlib import Path

import pytest

from tatsumaki_py import Application, Handler, Template


@pytest.fixture
def files(tmp_path):
    for name in ("one/a.txt", "two/a.txt", "two/b.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{name} {{{{ x }}}}")
    return tmp_path


@pytest.mark.parametrize("kind", [str, Path])
def test_constructor(files, kind):
    """The constructor takes `template_path` as text or as a path."""
    app = Application(template_path=kind(files / "one"))
    assert app.render_file("a.txt", {"x": 1}) == b"one/a.txt 1"


def test_set_later(files):
    """`template_path` can be set at any time, even to a list that is searched in order."""
    app = Application()
    assert app.template_path is None
    app.template_path = files / "one"
    assert app.template_path == str(files / "one")
    assert app.render_file("a.txt", x="&") == b"one/a.txt &amp;"
    app.template_path = [files / "two", files / "one"]
    assert app.template_path == [str(files / "two"), str(files / "one")]
    assert app.render_file("a.txt", {"x": 1}, x=2) == b"two/a.txt 2"


def test_missing(files):
    """The error for a missing template names the template and the directories."""
    app = Application(template_path=str(files / "one"))
    with pytest.raises(FileNotFoundError, match=r"b\.txt \(include_path: .*one\)"):
        app.render_file("b.txt")


def test_engine(files):
    """The setting `template` can be changed, and `template_path` is passed on to the engine."""
    app = Application()
    engine = Template([files / "one"])
    app.template = engine
    assert app.template is app.settings["template"] is engine
    app.template_path = files / "two"
    assert app.render_file("b.txt", {"x": 1}) == b"two/b.txt 1"


def test_autoescape(files):
    """Tornado's setting `autoescape` works."""
    app = Application(template_path=files / "one", autoescape=None)
    assert app.render_file("a.txt", {"x": "<"}) == b"one/a.txt <"


class Page(Handler):
    def get(self):
        self.render("a.txt", x=1)


class TestChanged:
    """A template that is changed while the program runs."""

    @pytest.fixture(params=[True, False])
    def debug(self, request):
        return request.param

    @pytest.fixture(params=["directory", "directories", "engine"])
    def app(self, request, files, debug):
        app = Application({"/": Page}, debug=debug, autoreload=False)
        if request.param == "engine":
            app.template = Template(files / "one")
        else:
            one = files / "one"
            app.template_path = one if request.param == "directory" else [one]
        return app

    @pytest.mark.gen_test
    async def test_changed(self, fetch, app, files, debug):
        """With ``debug``, a template is read again each time, within requests and without."""
        assert (await fetch("/")).body == app.render_file("a.txt", x=1) == b"one/a.txt 1"
        (files / "one/a.txt").write_text("changed")
        expected = b"changed" if debug else b"one/a.txt 1"
        assert (await fetch("/")).body == app.render_file("a.txt", x=1) == expected

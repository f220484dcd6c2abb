"""The default template engine."""

import pytest
import tornado.template

from tatsumaki_py import Template


@pytest.fixture
def write(tmp_path):
    """`write("a/x.html", "text")` writes the file, and returns the path of its top folder."""

    def make(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return str(tmp_path / name.split("/")[0])

    return make


def test_args_and_escaping(write):
    """Arguments are inserted and escaped, and the result is UTF-8."""
    a = write("a/x.html", "<p>{{ text }} {% raw html %} é</p>")
    args = {"text": "<&>\"'", "html": "<b>"}
    expected = "<p>&lt;&amp;&gt;&quot;&#x27; <b> é</p>".encode()
    assert Template(a).render_file("x.html", args) == expected


def test_settings(write):
    """`autoescape` and `template_whitespace` work as Tornado's settings do."""
    a = write("a/x.html", "{{ '<' }}  .")
    assert Template(a).render_file("x.html") == b"&lt; ."
    assert Template(a, autoescape=None).render_file("x.html") == b"< ."
    assert Template(a, template_whitespace="all").render_file("x.html") == b"&lt;  ."


def test_first_directory_wins(write):
    """Directories are searched in order, and the first one with the file is used."""
    a, b = write("a/x.html", "of a"), write("b/x.html", "of b")
    write("b/y.html", "y of b")
    assert Template([a, b]).render_file("x.html") == b"of a"
    assert Template([b, a]).render_file("x.html") == b"of b"
    assert Template([a, b]).render_file("y.html") == b"y of b"


def test_a_directory_is_no_template(write):
    """A directory with the name of a template does not hide the file in the next directory."""
    a = write("a/x.html/y", "")
    b = write("b/x.html", "of b")
    assert Template([a, b]).render_file("x.html") == b"of b"
    with pytest.raises(FileNotFoundError):
        Template(b).render_file("x.html/y")


def test_include_path_may_be_changed(write):
    """A new list, a changed list or a single directory takes effect at the next rendering."""
    a, b = write("a/x.html", "of a"), write("b/x.html", "of b")
    template = Template([a])
    assert template.render_file("x.html") == b"of a"
    template.include_path.insert(0, b)
    assert template.render_file("x.html") == b"of b"
    template.include_path = [a]
    assert template.render_file("x.html") == b"of a"
    assert Template(b).include_path == [b]
    template.include_path = b
    assert template.render_file("x.html") == b"of b"


def test_compiled_once(write):
    """A template is read once, and again after the loader is reset."""
    a = write("a/x.html", "old")
    template = Template(a)
    assert template.render_file("x.html") == b"old"
    write("a/x.html", "new")
    assert template.render_file("x.html") == b"old"
    template.loader.reset()
    assert template.render_file("x.html") == b"new"


def test_missing(write):
    """A missing template raises an error with Tatsumaki's text, until its file is written."""
    a = write("a/x.html", "")
    template = Template(["nowhere", a])
    with pytest.raises(FileNotFoundError) as caught:
        template.render_file("nope.html")
    message = f"could not find template file: nope.html (include_path: nowhere, {a})"
    assert str(caught.value) == message
    write("a/nope.html", "there")
    assert template.render_file("nope.html") == b"there"


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/hostname", "sub/../../secret", "..", "../a/x.html", "x\0.html"]
)
def test_no_way_out(write, name):
    """A name that leads out of the directories is refused (the original reads the file)."""
    write("secret", "secret")
    with pytest.raises(ValueError, match="leads outside the include_path"):
        Template(write("a/x.html", "")).render_file(name)


def test_dots_that_stay_inside(write):
    """Different names of the same file are loaded as one template."""
    template = Template(write("a/x.html", "x"))
    assert template.render_file("sub/../x.html") == template.render_file("./x.html") == b"x"
    assert list(template.loader.templates) == ["x.html"]


def test_errors_of_a_template(write):
    """A template with a syntax error or an unknown name raises an exception."""
    a = write("a/x.html", "{% if %}")
    write("a/y.html", "{{ nobody }}")
    with pytest.raises(tornado.template.ParseError):
        Template(a).render_file("x.html")
    with pytest.raises(NameError):
        Template(a).render_file("y.html")

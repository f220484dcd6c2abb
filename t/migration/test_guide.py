"""The lists in docs/migration.md are correct."""

import re

import pytest
import tornado.web
from support.program import ROOT
from tornado.template import DictLoader

from tatsumaki_py import Handler

GUIDE = (ROOT / "docs/migration.md").read_text()


def section(title):
    return GUIDE.partition(f"## {title}\n")[2].partition("\n## ")[0]


def cells(title, column):
    rows = re.findall(r"^\| (.*) \|$", section(title), re.MULTILINE)
    return [row.split(" | ")[column] for row in rows[1:]]


def test_names_of_the_framework():
    """The guide lists all names of a `Handler` that Tornado's handlers do not have."""
    names = {name for name in dir(Handler) if not name.startswith(("_", "peer_", "stream_"))}
    names |= {"stream_write"}
    listed = GUIDE.partition("A `Handler` uses these names")[2].partition("everything")[0]
    # Each of Tornado's handlers has an attribute `ui`.
    added = names - {"ui", *dir(tornado.web.RequestHandler)}
    assert set(re.findall(r"`(\w+)`", listed)) == added


def test_files():
    """The files in the table of files exist."""
    for cell in cells("Files", 1):
        for name in re.findall(r"`([\w./*]+/?)`", cell):
            places = (ROOT, ROOT / "tatsumaki_py", ROOT / "examples/chat")
            if name not in ("get_chunk", "write", "finish", "stream_write", "env"):
                assert any(list(place.glob(name.rstrip("/"))) for place in places), name


@pytest.mark.parametrize("cell", [cell for cell in cells("Templates", 1) if "{{!" not in cell])
def test_templates(cell):
    """The replacements for MicroTemplate's tags are valid templates."""
    text = re.sub(r"`( \.\.\. | and )`", "text", cell.split(" (")[0]).strip("`")
    loader = DictLoader({"x.html": text, "layout.html": "", "menu.html": ""})
    loader.load("x.html")

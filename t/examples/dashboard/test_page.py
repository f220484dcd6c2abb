"""The dashboard in a real browser, served by the real program."""

import re
import urllib.request

import pytest
from playwright.sync_api import expect
from support.browser import GONE
from support.program import ROOT

NUMBER = re.compile(r"^[\d.,]+$")


@pytest.fixture
def dashboard(serve_program):
    """The running example."""
    return serve_program("examples/dashboard/app.py")


def points(page, name):
    """The number of points in the line of a chart."""
    path = page.locator(f"#{name} .line").last.get_attribute("d")
    return path.count("L") + 1


def test_each_state_has_a_word():
    """The page has a word for each state of tatsumaki.js."""
    types = (ROOT / "tatsumaki_py/static/tatsumaki.d.ts").read_text()
    states = re.findall(r"\w+", re.search(r"type State = (.*);", types)[1])
    script = (ROOT / "examples/dashboard/static/dashboard.js").read_text()
    words = re.search(r"const words = \{(.*)\}", script)[1]
    assert sorted(re.findall(r"(\w+):", words)) == sorted(states)


def test_live(dashboard, new_page, page_errors):
    """Several pages show all figures, and the figures continue after the server is restarted."""
    first, second = (
        new_page(),
        new_page(color_scheme="dark", viewport={"width": 390, "height": 844}),
    )
    for page in (first, second):
        page.goto(dashboard.url)
        expect(page.get_by_role("status")).to_have_text("live")
    expect(first.locator("#connections")).to_have_text("2")
    expect(first.locator("#connections-note")).to_have_text("2 sse")
    for name in ("delivered", "bytes", "lag"):
        expect(first.locator(f"#{name}")).to_have_text(NUMBER)
    expect(first.locator("#cpu-process")).to_have_text(re.compile(r"^[\d.]+ %$"))
    expect(first).to_have_title(re.compile(r"^[\d.]+ % CPU · Dashboard$"))
    expect(first.get_by_role("img", name="CPU over the last two minutes")).to_be_visible()
    expect(first.locator("#spoken")).to_contain_text("events per second")
    assert second.evaluate("document.documentElement.scrollWidth <= innerWidth")
    second.close()
    expect(first.locator("#connections")).to_have_text("1")
    seen = points(first, "cpu")
    page_errors.allow(GONE)
    assert dashboard.stop() == 0
    expect(first.get_by_role("status")).to_have_text("server unreachable, reconnecting")
    expect(first.locator("main")).to_have_attribute("data-stale", "")
    dashboard.start()
    expect(first.get_by_role("status")).to_have_text("live", timeout=20_000)
    expect(first.locator("#uptime")).to_have_text(re.compile("^0:0"))
    assert points(first, "cpu") >= seen
    for word in ("sse closed, ", "sse finished, "):
        assert word in dashboard.stderr
    with urllib.request.urlopen(f"{dashboard.url}health") as answer:
        assert answer.read() == b"ok\n"

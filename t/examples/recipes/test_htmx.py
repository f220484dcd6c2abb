"""HTML fragments for htmx 4 and 2, in a real browser."""

import re
import runpy
import shutil
import urllib.parse
import urllib.request

import pytest
from playwright.sync_api import expect
from support.browser import GONE
from support.excerpts import assert_excerpts
from support.outside import NODE_MODULES, left_out
from support.program import ROOT

PACKAGES = {
    "htmx.org@4.0.1": "htmx.org-4",
    "htmx.org@2.0.11": "htmx.org",
    "htmx-ext-sse@2.2.4": "htmx-ext-sse",
}
# What htmx 4 and htmx 2 log when a connection is lost.
HTMX_LOGS = r"503|htmx:sse|\[object Event\]"
HOSTILE = [
    "<img src=x onerror='ran = 1'>",
    "<script>ran = 1</script>",
    "</li></ul><b hx-on:click='ran = 1' hx-get='/' hx-trigger='load'>\"'&lt;",
]


@pytest.fixture
def wall(serve_program, tmp_path):
    """The program, with its events in a file, and with htmx from npm."""
    if not NODE_MODULES.exists():
        left_out("NO PACKAGES FROM NPM: htmx was not tested (make test, with npm, gets them)")
    for name, package in PACKAGES.items():
        shutil.copytree(NODE_MODULES / package / "dist", tmp_path / name / "dist")
    environment = {"NPM": str(tmp_path), "TATSUMAKI_ENGINE": f"sqlite:{tmp_path / 'events.db'}"}
    return serve_program("examples/recipes/htmx.py", environment=environment)


def say(wall, text):
    data = urllib.parse.urlencode({"name": "Bob", "text": text}).encode()
    with urllib.request.urlopen(f"{wall.url}say", data, timeout=10) as answer:
        assert b"<form" in answer.read()


def expect_items(page, *texts):
    expect(page.locator("li")).to_have_text([f"Bob {text}" for text in texts], timeout=15_000)


@pytest.mark.parametrize("path", ["", "2"])
def test_messages(wall, page, page_errors, path):
    """A page shows each message once, from before it subscribed, after that and after a restart.

    Text from users is shown as text.
    """
    page_errors.allow(GONE)
    page_errors.allow(HTMX_LOGS)
    say(wall, "first")
    with page.expect_request("**/html/wall*"):
        page.goto(wall.url + path)
    expect_items(page, "first")
    page.get_by_label("Your name").fill("Bob")
    for text in HOSTILE:
        page.get_by_label("Message").fill(text)
        page.get_by_role("button").click()
        expect(page.get_by_label("Message")).to_have_value("")
    expect_items(page, "first", *HOSTILE)
    assert page.evaluate("typeof ran") == "undefined"
    # When the page reconnects, a proxy answers the first request.
    page.route("**/html/wall*", lambda route: route.fulfill(status=503), times=1)
    wall.restart()
    say(wall, "after the restart")
    expect_items(page, "first", *HOSTILE, "after the restart")
    say(wall, "last")
    expect_items(page, "first", *HOSTILE, "after the restart", "last")


@pytest.mark.parametrize("path", ["", "2"])
def test_a_gap(wall, page, page_errors, path):
    """A page that has missed events is reloaded."""
    page_errors.allow(HTMX_LOGS)
    say(wall, "one")
    gap = "id: 2-2\nevent: gap\ndata: {}\n\n"
    options = {"content_type": "text/event-stream", "body": gap}
    page.route("**/html/wall*", lambda route: route.fulfill(**options), times=1)
    page.goto(wall.url + path)
    page.wait_for_function("performance.getEntriesByType('navigation')[0].type == 'reload'")
    say(wall, "two")
    expect_items(page, "one", "two")


def test_the_page():
    """The page shows the code of the program, and the URLs of the versions that are tested."""
    page = "docs/recipes/htmx.md"
    assert_excerpts(page, "examples/recipes/htmx.py", languages=["py", "html"])
    addresses = re.findall(r'src="https://cdn.jsdelivr.net/npm/([^"]+)"', (ROOT / page).read_text())
    program = runpy.run_path(str(ROOT / "examples/recipes/htmx.py"))
    assert addresses == [*program["SCRIPTS_4"], *program["SCRIPTS_2"]]

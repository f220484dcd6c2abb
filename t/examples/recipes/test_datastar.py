"""Patches for Datastar: their bytes, and a vote in a real browser."""

import runpy
import sys
from pathlib import Path

import pytest
from datastar_py import ServerSentEventGenerator
from playwright.sync_api import expect
from support.browser import GONE
from support.excerpts import assert_excerpts
from support.outside import left_out
from support.program import ROOT

from tatsumaki_py import MessageQueue

RECIPE = "examples/recipes/datastar.py"
SCRIPT = Path(sys.prefix) / "datastar/starhtml/static/js/datastar-core.js"
HOSTILE = "<img src=x onerror='ran=1'>\"'); ran=1; ('"


@pytest.fixture
def recipe():
    """The program as a module."""
    return runpy.run_path(str(ROOT / RECIPE))


@pytest.fixture
def app(recipe):
    """The application of the program."""
    return recipe["app"]


@pytest.mark.gen_test
async def test_bytes(recipe, http_server, http_port, raw):
    """Patches have the same bytes as those of Datastar's Python package, ids included."""
    mq = MessageQueue.instance("vote")
    html = '<ul id="votes">\n<li>Tea</li>\n\n</ul>'
    events = [recipe["patch_elements"](html), recipe["patch_signals"]('{"total":1}')]
    client = await raw(http_port)
    cursor = mq.cursor()
    mq.publish(*events)
    request = f"GET /updates/vote?last_event_id={cursor} HTTP/1.0\r\nAccept: text/event-stream, */*"
    await client.send(f"{request}\r\n\r\n".encode())
    await client.read_until(b"event: datastar")
    first = (await client.read_until(b"\n\n")).decode()
    second = (await client.read_until(b"\n\n")).decode()
    theirs = [
        ServerSentEventGenerator.patch_elements(html, event_id=mq.backlog_events[0].id),
        ServerSentEventGenerator.patch_signals({"total": 1}, event_id=mq.cursor()),
    ]
    assert [f"event: datastar{first}", second] == theirs


@pytest.fixture
def vote(serve_program, tmp_path):
    """The program, whose streams end after a second."""
    if not SCRIPT.exists():
        left_out("NO DATASTAR: the vote was not tested in a browser (make test downloads it)")
    (tmp_path / "datastar.js").write_bytes(SCRIPT.read_bytes())
    environment = {"DATASTAR": str(tmp_path / "datastar.js")}
    return serve_program("t/examples/recipes/datastar_program.py", environment=environment)


def expect_votes(page, *votes):
    expect(page.locator("#votes b")).to_have_text([str(number) for number in votes], timeout=15_000)
    expect(page.locator("output")).to_have_text(str(sum(votes)))


def test_a_vote(vote, new_page, page_errors):
    """Two pages show the same votes, even after their streams ended and the server was killed.

    Text from users is shown as text.
    """
    page_errors.allow(f"{GONE}|Datastar failed to reach|network error|Failed to fetch")
    ann, bob = new_page(), new_page()
    streams = []
    bob.on("request", lambda request: "/updates/" in request.url and streams.append(request))
    ann.goto(vote.url)
    bob.goto(vote.url)
    ann.get_by_role("button", name="Vote").nth(1).click()
    for page in (ann, bob):
        expect_votes(page, 0, 1)
    bob.get_by_label("Another drink").fill(HOSTILE)
    bob.get_by_role("button", name="Add").click()
    for page in (ann, bob):
        expect_votes(page, 0, 1, 1)
        expect(page.locator("#votes span").nth(2)).to_have_text(HOSTILE)
    bob.wait_for_timeout(1500)
    ann.get_by_role("button", name="Vote").nth(2).click()
    for page in (ann, bob):
        expect_votes(page, 0, 1, 2)
        assert page.evaluate("typeof ran") == "undefined"
    assert len(streams) > 1
    assert streams[-1].headers["last-event-id"]
    vote.kill()
    vote.start()
    ann.get_by_role("button", name="Vote").nth(0).click()
    for page in (ann, bob):
        expect_votes(page, 1, 0)


def test_the_page():
    """The page shows the code of the program."""
    assert_excerpts("docs/recipes/datastar.md", RECIPE, languages=["py", "html"])

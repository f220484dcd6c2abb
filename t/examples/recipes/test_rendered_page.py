"""A page that was rendered before it subscribed, and that loads its state after a gap."""

import urllib.request

import pytest
from playwright.sync_api import expect
from support.browser import GONE
from support.excerpts import assert_excerpts

PROGRAM = "examples/recipes/rendered_page.py"


@pytest.fixture
def board(serve_program):
    return serve_program(PROGRAM)


def goal(board, team):
    urllib.request.urlopen(f"{board.url}goal", f"team={team}".encode(), timeout=10).close()


def expect_scores(page, *scores):
    for team, score in zip(("Blue", "Green", "Red"), scores, strict=True):
        expect(page.locator(f"#{team}")).to_have_text(str(score), timeout=15_000)


def test_no_hole_and_no_reload(board, page, page_errors):
    """A page shows goals from before it was rendered, before it subscribed and after that.

    After a restart without the events, the page loads its state, and is not reloaded.
    """
    page_errors.allow(GONE)
    goal(board, "Red")

    def between(route):
        goal(board, "Blue")
        route.continue_()

    page.route("**/tatsumaki.js", between)
    asked = []
    page.on("request", lambda request: asked.append(request.url.removeprefix(board.url)))
    page.goto(board.url)
    expect_scores(page, 1, 0, 1)
    page.locator("#Green ~ td button").click()
    expect_scores(page, 1, 1, 1)
    assert "state" not in asked
    page.evaluate("window.same = true")
    board.restart()
    goal(board, "Red")
    expect_scores(page, 0, 0, 1)
    goal(board, "Red")
    expect_scores(page, 0, 0, 2)
    assert page.evaluate("same")
    assert asked.count("state") == 1


def test_without_the_script(board, new_page):
    """Without JavaScript, the page shows the scores, and its form works."""
    page = new_page(java_script_enabled=False)
    page.goto(board.url)
    page.locator("#Green ~ td button").click()
    expect_scores(page, 0, 1, 0)


def test_the_page():
    """The page shows the code of the program."""
    assert_excerpts("docs/recipes/rendered-page.md", PROGRAM)

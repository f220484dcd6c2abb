"""An answer that arrives token by token, on pages that users reload."""

import ast
import re
import signal

import pytest
from playwright.sync_api import expect
from support.browser import GONE
from support.excerpts import assert_excerpts
from support.program import ROOT

PROGRAM = "examples/recipes/llm_tokens.py"
QUESTION = "What is <b>an end</b>?"
# The program is not imported, because it changes settings.
(WORDS,) = (
    ast.literal_eval(node.value)
    for node in ast.parse((ROOT / PROGRAM).read_text()).body
    if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "TEXT"
)
TEXT = f"You asked: {QUESTION}\n\n{WORDS}"


@pytest.fixture
def server(serve_program):
    return serve_program(PROGRAM, environment={"PAUSE": "0.02"})


def ask(server, page):
    page.goto(server.url)
    page.get_by_label("Question").fill(QUESTION)
    page.get_by_role("button").click()
    page.wait_for_url("**/answers/*")


def text(page):
    return page.locator("#answer").evaluate("({ textContent }) => textContent")


def expect_some(page):
    expect(page.locator("#answer")).to_have_text(re.compile("stream"))


def expect_all(page):
    """Waits for the end of the answer; fails unless the page shows each token once."""
    expect(page.locator("#answer")).to_have_attribute("aria-busy", "false")
    expect(page.locator("h1")).to_have_text(QUESTION)
    assert text(page) == TEXT


def test_reloads(server, page, page_errors):
    """A reload, a second tab and a visit after the end all show the whole answer."""
    page_errors.allow("404")
    ask(server, page)
    expect_some(page)
    page.reload()
    expect_some(page)
    second = page.context.new_page()
    page_errors.watch(second)
    second.goto(page.url)
    assert len(text(page)) < len(TEXT)
    page.goto("about:blank")  # the answer continues without a page
    expect_all(second)
    page.goto(second.url)
    expect_all(page)
    assert page.goto(f"{server.url}answers/unknown").status == 404


def test_lost_connections(server, page, page_errors):
    """The page resumes where it was, and shows no token twice."""
    page_errors.allow(GONE)
    ask(server, page)
    expect_some(page)
    for _ in range(2):
        page.context.set_offline(True)
        page.wait_for_timeout(50)
        page.context.set_offline(False)
        page.wait_for_timeout(100)
    expect_all(page)


def test_the_server_stops(server, page):
    """If the server stops, the page says that the answer broke off, and does not wait for more."""
    ask(server, page)
    expect_some(page)
    server.signal(signal.SIGTERM)
    expect(page.get_by_role("status")).to_have_text("The answer broke off.")
    expect(page.locator("#answer")).to_have_attribute("aria-busy", "false")
    assert server.wait() == 0


def test_the_page():
    """The page shows the code of the program."""
    assert_excerpts("docs/recipes/llm-tokens.md", PROGRAM)

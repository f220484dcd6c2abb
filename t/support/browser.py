"""Pages in a real Chromium. Their tests are plain functions, as Playwright has its own loop."""

import os
import re
import shutil

import pytest
from playwright.sync_api import sync_playwright

# Only this machine can be reached. A request to another host logs an error, which fails the test.
ARGS = ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]


# The headless shell is the same browser without windows, and takes a third of the CPU time.
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


def find_chromium():
    """The path of an installed Chromium or Chrome, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@pytest.fixture(scope="module")
def chromium():
    """A running Chromium (a Playwright `Browser`).

    Without one, the tests are skipped; if CI is set, they fail. There is one per module, not one
    per session: while Playwright's synchronous interface runs, no other loop can run in the thread.
    """
    path = find_chromium()
    if path is None:
        message = "NO CHROMIUM: the pages were not tested (Debian: apt install chromium)"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    sandbox = [] if os.geteuid() else ["--no-sandbox"]  # Chromium refuses to sandbox root
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGS + sandbox)
        yield browser
        browser.close()


GONE = "net::ERR_(?!NAME_NOT_RESOLVED)"
"""Matches the errors of requests to a server that is gone: Chromium's error depends on the moment.

Errors of requests to other hosts do not match.
"""


class PageErrors:
    """The errors in the pages of a test: exceptions, console errors, dialogs and crashes."""

    def __init__(self):
        self._seen = []
        self._allowed = []

    def watch(self, page):
        page.on("pageerror", lambda error: self._seen.append(f"exception: {error}"))
        page.on("crash", lambda _: self._seen.append("crash"))
        page.on("console", self._console)
        page.on("dialog", self._dialog)

    def allow(self, pattern):
        """Errors that match `pattern` (a regex) do not fail this test; they need not occur."""
        self._allowed.append(re.compile(pattern))

    @property
    def unexpected(self):
        return [line for line in self._seen if not any(p.search(line) for p in self._allowed)]

    def _console(self, message):
        if message.type == "error":
            self._seen.append(f"console: {message.text} ({message.location['url']})")

    def _dialog(self, dialog):
        self._seen.append(f"dialog: {dialog.message}")
        dialog.dismiss()


@pytest.fixture
def page_errors():
    """`page_errors.allow("regex")` allows errors, such as those of requests to a stopped server."""
    errors = PageErrors()
    yield errors
    assert not errors.unexpected


@pytest.fixture
def new_page(chromium, page_errors):
    """`page = new_page()` opens a page as a new visitor, with separate storage.

    An error in the page fails the test. `new_page` takes Playwright's context options, as in
    `new_page(color_scheme="dark")`.
    """
    contexts = []

    def open_page(**options):
        contexts.append(chromium.new_context(**options))
        page = contexts[-1].new_page()
        page.set_default_timeout(10_000)
        page_errors.watch(page)
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture
def page(new_page):
    """One page; see `new_page`."""
    return new_page()

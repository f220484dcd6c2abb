"""Pages in a real Chromium. Tests with them are plain functions: Playwright has its own loop."""

import os
import re
import shutil

import pytest
from playwright.sync_api import sync_playwright

# Only this machine can be reached: a page that calls out gets a console error and fails the test.
ARGS = ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]


# The headless shell is the same browser without windows, and takes a third of the CPU.
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


def find_chromium():
    """Path of an installed Chromium or Chrome, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@pytest.fixture(scope="module")
def chromium():
    """A running Chromium (a Playwright `Browser`).

    Without one the tests are skipped, but fail where CI is set. One a module, not one a session:
    while Playwright's synchronous interface is started, no other loop can run in this thread.
    """
    path = find_chromium()
    if path is None:
        message = "NO CHROMIUM: the pages were not tested (Debian: apt install chromium)"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    sandbox = [] if os.geteuid() else ["--no-sandbox"]  # it refuses to sandbox root
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGS + sandbox)
        yield browser
        browser.close()


GONE = "net::ERR_(?!NAME_NOT_RESOLVED)"
"""Errors of requests to a server that is gone: Chromium has many words for that, depending on the
moment. Not those of requests to other hosts.
"""


class PageErrors:
    """What went wrong in the pages of a test: exceptions, console errors, dialogs, crashes."""

    def __init__(self):
        self._seen = []
        self._allowed = []

    def watch(self, page):
        page.on("pageerror", lambda error: self._seen.append(f"exception: {error}"))
        page.on("crash", lambda _: self._seen.append("crash"))
        page.on("console", self._console)
        page.on("dialog", self._dialog)

    def allow(self, pattern):
        """Errors with `pattern` (a regex) in them are no failure in this test, come they or not."""
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
    """`page_errors.allow("regex")` announces errors, say of fetches while the server is down."""
    errors = PageErrors()
    yield errors
    assert not errors.unexpected


@pytest.fixture
def new_page(chromium, page_errors):
    """`page = new_page()` opens a page of another visitor (own storage); an error in it fails.

    Takes Playwright's context options, as in `new_page(color_scheme="dark")`.
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
    """One page, see `new_page`."""
    return new_page()

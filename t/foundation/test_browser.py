"""Pages in Chromium, and their errors."""

import pytest


def test_page_runs_scripts(page):
    """A page runs scripts."""
    page.set_content("<p id=p></p><script>p.textContent = 6 * 7</script>")
    assert page.text_content("#p") == "42"


def test_pages_are_different_visitors(new_page):
    """Each page has a separate storage."""
    one, two = new_page(), new_page(color_scheme="dark")
    for page in (one, two):
        page.route("**/*", lambda route: route.fulfill(body="<p>", content_type="text/html"))
        page.goto("http://127.0.0.1/")
    one.evaluate("localStorage.name = 'ann'")
    assert two.evaluate("localStorage.name") is None
    assert two.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")


@pytest.mark.parametrize(
    ("html", "error"),
    [
        ("<script>setTimeout(() => { throw Error('boo') })</script>", "exception: boo"),
        ("<script>Promise.reject(Error('boo'))</script>", "exception: boo"),
        ("<script>console.error('boo')</script>", "console: boo"),
        ("<script>alert('boo')</script>", "dialog: boo"),
        ("<img src='http://example.com/x.png'>", "console: Failed to load resource.*example.com"),
        ("<img src='http://127.0.0.1:1/x.png'>", "console: Failed to load resource"),
    ],
)
def test_errors_are_seen(new_page, page_errors, html, error):
    """Exceptions, console errors, dialogs, failed loads and requests to other hosts are errors."""
    page = new_page()
    page.set_content(html)
    page.wait_for_timeout(50)
    assert len(page_errors.unexpected) == 1
    page_errors.allow(error)
    assert page_errors.unexpected == []

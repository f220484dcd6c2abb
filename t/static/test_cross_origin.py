"""A page that subscribes to a server of another origin, which also serves the module."""

import json

import pytest

TRANSPORTS = ["sse", "websocket", "ndjson", "multipart", "long-poll"]


@pytest.fixture
def push(serve_program, site, monkeypatch):
    """The URL of the push server."""
    monkeypatch.setenv("PAGES", site.url.rstrip("/"))
    return serve_program("t/static/push.py").url


@pytest.fixture
def subscribe(tab, push):
    """`page = subscribe("events/a", transports=[...])` subscribes with the push server's module."""
    pages = []

    def subscribe(path, **options):
        page = tab()
        page.get("subscription.close()")
        page.get(f"import('{push}tatsumaki.js').then((module) => Object.assign(window, module))")
        page.get(f"subscribe('{push}{path}', {json.dumps(options)})")
        pages.append(page)
        return page

    yield subscribe
    for page in pages:
        page.get("subscription.close()")  # before the server stops


def fetch(page, method, url, **headers):
    """The status and text of an answer, as the page reads them."""
    options = {"method": method, "headers": headers}
    if method == "POST":
        options["body"] = '{"n": 1}'
    return page.get(
        f"fetch('{url}', {json.dumps(options)}).then(async (r) => [r.status, await r.text()])"
    )


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_subscribe_and_publish(subscribe, push, transport):
    """A page gets events with each transport, and publishes with headers that libraries add."""
    page = subscribe("events/a", transports=[transport]).open()
    headers = {"Content-Type": "application/json", "X-Requested-With": "XMLHttpRequest"}
    headers |= {"Cache-Control": "no-cache", "X-Api-Key": "key", "X-My-Own": "1"}
    status, _ = fetch(page, "POST", f"{push}publish/a", **headers)
    assert status == 200
    page.has(1)
    assert page.get("subscription.lastEventId")


def test_a_key_in_a_header(subscribe, page_errors):
    """A page with the key in a header is connected; a page without it gets the reason."""
    page_errors.allow("401")
    subscribe("keyed/a", headers={"X-Api-Key": "key"}).open()
    page = subscribe("keyed/a").until("subscription.state === 'closed'")
    assert page.get("details.error") == {"message": "a key is needed", "status": 401}


def test_errors_are_read(subscribe, push, page_errors):
    """A page can read the status and text of refusals: 405 for a wrong method, and 400."""
    page_errors.allow("40[05]")
    page = subscribe("events/a").open()
    assert fetch(page, "POST", f"{push}events/a") == [405, "Method Not Allowed"]
    status, text = fetch(page, "GET", f"{push}events/a?timeout=soon")
    assert (status, "timeout" in text) == (400, True)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_server_that_does_not_allow_it(subscribe, page_errors, transport):
    """The page gets an error with two possible reasons, as the browser does not say which."""
    page_errors.allow("CORS|ERR_|403")
    page = subscribe("closed/a", transports=[transport])
    page.until("subscription.state === 'waiting'")
    message = "the server cannot be reached, or does not allow this page's origin"
    assert page.get("details.error") == {"message": message, "status": 0}

"""A page that subscribes to a server of another origin, which has the module, too."""

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
    """`page = subscribe("events/a", transports=[...])`, with the module of the push server."""
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
        page.get("subscription.close()")  # before the server goes


def fetch(page, method, url, **headers):
    """Status and text of an answer, as the page reads them."""
    options = {"method": method, "headers": headers}
    if method == "POST":
        options["body"] = '{"n": 1}'
    return page.get(
        f"fetch('{url}', {json.dumps(options)}).then(async (r) => [r.status, await r.text()])"
    )


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_subscribe_and_publish(subscribe, push, transport):
    """By each transport; a post has the headers that libraries add."""
    page = subscribe("events/a", transports=[transport]).open()
    headers = {"Content-Type": "application/json", "X-Requested-With": "XMLHttpRequest"}
    headers |= {"Cache-Control": "no-cache", "X-Api-Key": "key", "X-My-Own": "1"}
    status, _ = fetch(page, "POST", f"{push}publish/a", **headers)
    assert status == 200
    page.has(1)
    assert page.get("subscription.lastEventId")


def test_a_key_in_a_header(subscribe, page_errors):
    """It goes through; without it, the page is told why not."""
    page_errors.allow("401")
    subscribe("keyed/a", headers={"X-Api-Key": "key"}).open()
    page = subscribe("keyed/a").until("subscription.state === 'closed'")
    assert page.get("details.error") == {"message": "a key is needed", "status": 401}


def test_errors_are_read(subscribe, push, page_errors):
    """Also that a method is not allowed."""
    page_errors.allow("40[05]")
    page = subscribe("events/a").open()
    assert fetch(page, "POST", f"{push}events/a") == [405, "Method Not Allowed"]
    status, text = fetch(page, "GET", f"{push}events/a?timeout=soon")
    assert (status, "timeout" in text) == (400, True)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_server_that_does_not_allow_it(subscribe, page_errors, transport):
    """The page is told what it may be: a browser does not say more."""
    page_errors.allow("CORS|ERR_|403")
    page = subscribe("closed/a", transports=[transport])
    page.until("subscription.state === 'waiting'")
    message = "the server cannot be reached, or does not allow this page's origin"
    assert page.get("details.error") == {"message": message, "status": 0}

"""The chat runs under a path that nginx removes, as the page on deploying describes."""

import re

import pytest
from playwright.sync_api import expect
from support.nginx import SITE

TRANSPORTS = ["sse", "websocket", "ndjson", "multipart", "long-poll"]


@pytest.fixture
def http_server(serve_program):
    """The chat in a separate process: a page and an event loop cannot share one thread."""
    return serve_program("examples/chat/app.py")


@pytest.fixture
def site(http_server, run_nginx):
    """The public address of the chat."""
    under = SITE.replace("5000", str(http_server.port))
    under = under.replace("location / {", "location /app/ {")
    under = under.replace("proxy_pass http://tatsumaki;", "proxy_pass http://tatsumaki/;")
    return f"http://127.0.0.1:{run_nginx(under)}/app/"


def test_the_chat(site, page):
    """The chat's files, all transports, posting and the link to another room work."""
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(site)
    expect(page).to_have_url(f"{site}chat/lobby")
    expect(page.get_by_role("status")).to_have_text("live")
    assert page.evaluate("getComputedStyle(document.body).display") == "grid"
    for number, transport in enumerate(TRANSPORTS):
        page.get_by_label("Transport").select_option(transport)
        expect(page.get_by_role("status")).to_have_text("live")
        page.get_by_label("Message", exact=True).fill(f"by {transport}")
        page.keyboard.press("Enter")
        expect(page.locator(".text")).to_have_count(number + 1)
    page.get_by_label("Another room").fill("other")
    page.get_by_role("button", name="Go").click()
    expect(page).to_have_url(re.compile(f"{site}chat/other"))
    expect(page.get_by_role("status")).to_have_text("live")
    assert [url for url in asked if not url.startswith((site, site.replace("http", "ws")))] == []

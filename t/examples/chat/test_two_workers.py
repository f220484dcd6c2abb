"""Two pages in Chromium, connected to two workers that share a Redis."""

import pytest
from playwright.sync_api import expect


@pytest.fixture
def redis(make_redis):
    """A server that the test may kill."""
    return make_redis(appendonly="yes", appendfsync="always")


@pytest.fixture
def enter(redis, serve_program, new_page):
    """`page = enter("Ann")` opens a page as a new visitor, connected to a new worker."""

    def enter(name, transport=""):
        environment = {"TATSUMAKI_ENGINE": redis.url}
        worker = serve_program("examples/chat/app.py", environment=environment)
        page = new_page()
        page.goto(f"{worker.url}chat/room{transport}")
        expect(page.get_by_role("status")).to_have_text("live", timeout=10_000)
        page.get_by_label("Your name").fill(name)
        return page

    return enter


def say(page, text):
    page.get_by_label("Message", exact=True).fill(text)
    page.keyboard.press("Enter")
    expect(page.get_by_label("Message", exact=True)).to_have_value("")


LISTEN = """async () => {
    const url = '/chat/elsewhere/events'
    window.source = new EventSource(url)
    const socket = new WebSocket(url.replace('/', location.origin.replace('http', 'ws') + '/'))
    const code = await new Promise(done => (socket.onclose = event => done(event.code)))
    const lines = await fetch(url, {headers: {Accept: 'application/x-ndjson'}})
    const parts = await fetch(url, {headers: {Accept: 'multipart/mixed'}})
    const poll = await fetch(url)
    await lines.text()
    await parts.text()
    return [code, lines.status, parts.status, poll.status, poll.headers.has('Retry-After')]
}"""
"""Opens a channel that needs Redis with each transport, while Redis is away."""


def test_redis_restarts(enter, redis, page_errors):
    """No page loses or repeats a message, even one that is sent while Redis is away.

    An EventSource that connects while Redis is away does not give up.
    """
    page_errors.allow("503")
    pages = ann, bob = enter("Ann"), enter("Bob", "?transport=websocket")
    lines = []

    def both_say(when):
        for page, name in ((ann, "Ann"), (bob, "Bob")):
            lines.append(f"{name}, {when}")
            say(page, lines[-1])

    def both_show():
        for page in pages:
            expect(page.locator(".text")).to_have_text(lines, timeout=10_000)

    both_say("before")
    both_show()
    redis.kill()
    ann.wait_for_timeout(100)
    assert ann.evaluate(LISTEN) == [1001, 200, 200, 503, True]
    assert ann.evaluate("source.readyState") != 2
    lines.append("Ann, while it is away")
    say(ann, lines[-1])
    redis.start()
    both_show()
    both_say("after")
    both_show()
    ann.reload()
    both_show()

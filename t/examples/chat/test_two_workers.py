"""Two pages in Chromium, each at another worker; Redis is between them."""

import pytest
from playwright.sync_api import expect


@pytest.fixture
def redis(make_redis):
    """A server that the test may kill."""
    return make_redis(appendonly="yes", appendfsync="always")


@pytest.fixture
def enter(redis, serve_program, new_page):
    """`page = enter("Ann")`: a visitor whose page is live, at a worker of its own."""

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


def test_redis_restarts(enter, redis):
    """Neither page loses or repeats a line, also of those that are said while Redis is away."""
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
    lines.append("Ann, while it is away")
    say(ann, lines[-1])
    redis.start()
    both_show()
    both_say("after")
    both_show()
    ann.reload()
    both_show()

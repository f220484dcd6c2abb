"""Tornado's demos with the handlers of this package, in a plain `tornado.web.Application`."""

import re
from urllib.parse import urlencode

import pytest
from playwright.sync_api import expect
from support.recipe import ask, assert_shown, code_blocks

from tatsumaki_py.testing import Subscriber

PROGRAM = "examples/recipes/from_tornado_demos/app.py"


def data(client, channel="chat"):
    """The data of all messages of a channel, over all connections."""
    return [message.data for message in client.messages if message.channel == channel]


def bodies(client):
    return [event["body"] for event in data(client)]


async def say(url, text, **headers):
    """Sends a message, as the form of the page does. Returns the status of the answer."""
    body = urlencode({"body": text})
    return (await ask(f"{url}chat/new", "POST", body, **headers)).code


@pytest.mark.gen_test
async def test_chat(serve_program):
    """A page is rendered with the messages and a cursor.

    Each client gets each message after the cursor once, even a client that was away.
    """
    url = serve_program(PROGRAM).url
    await say(url, "<before>")
    page = (await ask(url)).body.decode()
    assert "<li>&lt;before&gt;</li>" in page
    cursor = re.search(r'data-cursor="([^"]+)"', page)[1]
    await say(url, "between")
    async with (
        Subscriber(f"{url}chat/updates", "long-poll", cursor=cursor, client_id="ann") as ann,
        Subscriber(f"{url}chat/socket", "websocket", cursor=cursor, client_id="bob") as bob,
    ):
        ann.follow()
        while {"here": 2} not in data(bob, "counts"):
            await bob.next()
        bob.close()
        await say(url, "while Bob is away")
        await bob.reconnect()
        await bob.send("by WebSocket")
        assert await say(url, "forged", Origin="https://evil.example") == 403
        while len(bodies(bob)) < 3:
            await bob.next()
        await ann.until(lambda ann: len(bodies(ann)) == 3)
        assert bodies(ann) == bodies(bob) == ["between", "while Bob is away", "by WebSocket"]


@pytest.mark.gen_test
async def test_two_processes(serve_program, make_redis):
    """A client resumes at the other process, and both processes count the same clients."""
    environment = {"TATSUMAKI_ENGINE": make_redis().url}
    one, two = (serve_program(PROGRAM, environment=environment).url for _ in range(2))
    async with (
        Subscriber(f"{one}chat/updates", "sse", client_id="ann") as ann,
        Subscriber(f"{two}chat/updates", "sse", client_id="bob") as bob,
    ):
        while {"here": 2} not in data(ann, "counts"):
            await ann.next()
        await say(two, "one")
        while bodies(bob) != ["one"]:
            await bob.next()
        cursor = bob.cursor
        bob.close()
        await say(two, "two")
    async with Subscriber(f"{one}chat/updates", cursor=cursor, client_id="bob") as bob:
        while not bodies(bob):
            await bob.next()
        assert bodies(bob) == ["two"]


def test_windows(serve_program, page, page_errors):
    """Two windows of one browser count as two."""
    url = serve_program(PROGRAM).url
    page.goto(url)
    expect(page.locator("#here")).to_have_text("1")
    second = page.context.new_page()
    page_errors.watch(second)
    second.goto(url)
    for window in (page, second):
        expect(window.locator("#here")).to_have_text("2")


def test_page():
    """The page shows the program, and counts lines correctly."""
    *counted, shown = code_blocks("from-tornado-demos")
    assert_shown(shown, PROGRAM)
    lines = [len([line for line in block.splitlines() if line.strip()]) for block in counted]
    assert lines == [29, 18, 14]

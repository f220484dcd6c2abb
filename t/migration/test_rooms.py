"""Channels and clients that are numbers, and a template."""

import json
from concurrent.futures import ThreadPoolExecutor

PAGE = """<!doctype html>
<title>Room &lt;1&gt;</title>
<h1>Room 1</h1>
<ul>
{}
</ul>
<script>poll("/room/1/poll/" + user)</script>
<hr>"""


def page(ask):
    return "\n".join(line for line in ask("/room/1").body.decode().splitlines() if line.strip())


def test_page(ported):
    """The page is the same as the original's; messages are escaped."""
    ask = ported("rooms")
    assert page(ask) == PAGE.format("<li>Welcome to room 1</li>")
    answer = ask("/room/1/say", "POST", {"text": "<hi>"})
    assert (answer.status, answer.headers["Location"]) == (302, "/room/1")
    assert page(ask) == PAGE.format("<li>Welcome to room 1</li>\n<li>&lt;hi&gt;</li>")
    answer = ask("/room/1/say", "POST", {"other": "1"})
    assert (answer.status, answer.body) == (400, b"nothing said")


def test_polls(ported):
    """A new client gets the backlog, then a new message; a poll without events gets []."""
    ask = ported("rooms")
    ask("/room/1")
    assert json.loads(ask("/room/1/poll/7").body) == [{"text": "Welcome to room 1"}]
    with ThreadPoolExecutor() as pool:
        polls = [pool.submit(ask, path) for path in ("/room/1/poll/7", "/room/2/poll/7")]
        ask("/room/1/say", "POST", {"text": "hi"})
        assert [json.loads(poll.result().body) for poll in polls] == [[{"text": "hi"}], []]

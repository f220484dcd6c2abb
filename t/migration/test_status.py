"""A status page with events and timers."""

import json
import re


def test_status(ported):
    """The program sends its page, the lines in order, and an answer after a delay."""
    ask = ported("status")
    lines = []
    while len(lines) < 2:
        answer = ask("/poll?client_id=me")
        assert answer.headers["Content-Type"] == "application/json"
        lines += json.loads(answer.body)
    first = int(lines[0].split()[1])
    assert lines == [f"load {number}" for number in range(first, first + len(lines))]
    page = ask("/").body.decode()
    assert re.fullmatch(
        r"<title>Status</title><p>Up for \d+ seconds</p>\n<p>load: <b id=load>\d+</b></p>\n", page
    )
    answer = ask("/status/load")
    assert answer.headers["Content-Type"] == "text/plain"
    assert int(answer.body) >= first
    assert "INFO tatsumaki: asked for load" in ask.program.stderr


def test_mistakes(ported):
    """The errors that the handlers throw become the answers."""
    ask = ported("status")
    answer = ask("/poll")
    assert (answer.status, answer.body) == (400, b"'client_id' needed")
    answer = ask("/status/none")
    assert (answer.status, answer.body) == (404, b"no such status")

"""A hook whose handler sends JSON, a form and a PUT request."""

import json

JSON = {"Content-Type": "application/json"}


def test_hook(ported):
    """A hook is passed to the chat, counted and published."""
    ask = ported("hook")
    answer = ask("/hook/project", "POST", json.dumps({"user": "ann\u2603", "ref": "x"}), JSON)
    assert answer.status == 202
    assert json.loads(answer.body) == {
        "count": {"ann\u2603": 1},
        "put": 405,
        "reason": "Method Not Allowed",
        "type": "text/plain; charset=UTF-8",
    }
    assert json.loads(ask("/poll/project").body) == [{"user": "ann\u2603", "ref": "x"}]
    assert json.loads(ask("/poll/other").body) == []


def test_refusals(ported):
    """An error from the chat is answered with 502; a body that is not JSON is refused."""
    ask = ported("hook")
    answer = ask("/hook/project", "POST", '{"user": "mallory"}', JSON)
    assert (answer.status, answer.body) == (502, b"chat: 503 Service Unavailable")
    assert json.loads(ask("/poll/project").body) == []
    answer = ask("/hook/project", "POST", '{"user', JSON)
    assert (answer.status, answer.body) == (400, b"broken JSON")
    assert ask("/hook/project", "POST", {"user": "ann"}).status == 415
    answer = ask("/api/messages", "POST", "{}", JSON)
    assert (answer.status, answer.body) == (403, b"no token")

"""A chat on sockjs-tornado, and the migrated chat with both endpoints in one program."""

import json
import sys
import warnings
from pathlib import Path
from textwrap import indent

import pytest
from support.outside import left_out
from support.program import ROOT
from support.recipe import ask, assert_shown, code_blocks
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port

from tatsumaki_py.testing import Subscriber

# Installed by `make test`.
SOCKJS = Path(sys.prefix) / "sockjs"
PROGRAM = "examples/recipes/from_sockjs_tornado.py"
# The code blocks that need sockjs-tornado.
BEFORE, BRIDGE = code_blocks("from-sockjs-tornado", "py")


class SockJS:
    """A client of SockJS that polls, as in a network without WebSockets."""

    def __init__(self, url, session):
        self.url = f"{url}/000/{session}"

    async def poll(self):
        """The messages of the next frame, or its first letter if it has none."""
        answer = await ask(f"{self.url}/xhr", "POST", "")
        frame = answer.body.decode().rstrip("\n")
        return json.loads(frame[1:]) if frame.startswith("a") else frame

    async def send(self, *messages):
        assert (await ask(f"{self.url}/xhr_send", "POST", json.dumps(messages))).code == 204


@pytest.fixture
def sockjs():
    if not SOCKJS.exists():
        left_out("NO SOCKJS-TORNADO: its clients were not tested (make test downloads it)")
    return str(SOCKJS)


@pytest.mark.gen_test
async def test_before(sockjs, monkeypatch):
    """The page's code for sockjs-tornado is a working chat."""
    namespace = {}
    monkeypatch.setattr(sys, "path", [sockjs, *sys.path])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(BEFORE, namespace)
    server = HTTPServer(namespace["app"])
    sock, port = bind_unused_port()
    server.add_socket(sock)
    ann, bob = (SockJS(f"http://127.0.0.1:{port}/chat", name) for name in ("ann", "bob"))
    assert [await ann.poll(), await bob.poll()] == ["o", "o"]
    assert await ann.poll() == ["Someone joined."]
    await bob.send("hello")
    assert [await ann.poll(), await bob.poll()] == [["hello"], ["hello"]]
    server.stop()


@pytest.mark.gen_test
async def test_side_by_side(sockjs, serve_program):
    """A SockJS client and a subscriber share a chat; the subscriber loses no message."""
    url = serve_program(PROGRAM, environment={"PYTHONPATH": sockjs}).url
    old = SockJS(f"{url}sockjs", "old")
    assert await old.poll() == "o"
    async with Subscriber(f"{url}chat/events", client_id="new") as new:
        await old.send("from SockJS")
        seen = await new.take(3)
        new.close()
        await ask(f"{url}chat/say", "POST", "text=while+away")
        await new.reconnect("websocket")
        await new.send("by WebSocket")
        while seen[-1] != "by WebSocket":
            seen += await new.take(1)
        assert [text for text in seen if not text.startswith("Someone")] == [
            "from SockJS",
            "while away",
            "by WebSocket",
        ]
        assert await old.poll() == seen


def test_page():
    """The page shows the program."""
    for block in code_blocks("from-sockjs-tornado"):
        assert_shown(block, PROGRAM)
    assert indent(BRIDGE, "    ") in (ROOT / PROGRAM).read_text()

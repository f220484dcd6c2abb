"""`response.body`: reading it returns what was written, and assigning to it replaces that."""

import io

import pytest

from tatsumaki_py import Application, Handler

BODIES = {
    "text": ("caf\u00e9", "caf\u00e9".encode()),
    "bytes": (b"\xff", b"\xff"),
    "pieces": (["<h1>", b"\xff", "</h1>"], b"<h1>\xff</h1>"),
    "tuple": (("a", "b"), b"ab"),
    "none": (None, b""),
    "nothing": ([], b""),
}
MISTAKES = {"dict": {"a": 1}, "number": 1, "json": [{"a": 1}], "file": io.BytesIO(b"a")}


class Body(Handler):
    def get(self, name):
        self.write("a", "b")
        assert self.response.body == self.response.content == b"ab"
        self.response.body = BODIES[name][0]
        self.write("!")

    def post(self, name):
        self.response.content = MISTAKES[name]


class Binary(Handler):
    binary = True

    def get(self):
        self.response.body = ["\xff"]

    def get_chunk(self, *chunks):
        raise AssertionError("a body must be sent as it is")


class Streamed(Handler):
    async def get(self):
        await self.stream_write("a")
        self.response.body = "b"
        self.write("c")


@pytest.fixture
def app():
    rules = [(r"/body/(\w+)", Body), ("/binary", Binary), ("/streamed", Streamed)]
    return Application(rules)


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.gen_test
async def test_assigned(fetch, name):
    """A body is text, bytes or a list of pieces (not JSON), as in Plack; later writes follow it."""
    answer = await fetch(f"/body/{name}")
    assert (answer.code, answer.body) == (200, BODIES[name][1] + b"!")
    assert answer.headers["Content-Type"] == "text/html; charset=UTF-8"


@pytest.mark.parametrize("name", MISTAKES)
@pytest.mark.gen_test
async def test_mistakes(fetch, expect_log, name):
    """Any other type raises an exception whose message names `self.write` for JSON."""
    with expect_log("tornado.application", "Uncaught exception") as records:
        assert (await fetch(f"/body/{name}", method="POST")).code == 500
    assert "for JSON use self.write(...)" in str(records[0].exc_info[1])


@pytest.mark.gen_test
async def test_binary(fetch):
    """With `binary`, text is encoded as Latin-1, and `get_chunk` is not called."""
    assert (await fetch("/binary")).body == b"\xff"


@pytest.mark.gen_test
async def test_streamed(fetch):
    """After a stream has begun, assigning a body has no effect."""
    assert (await fetch("/streamed")).body == b"ac"

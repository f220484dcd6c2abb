"""A handler at "/"."""

import pytest

from tatsumaki_py import Application, Handler


class MainHandler(Handler):
    def get(self):
        self.write("Hello World")


@pytest.fixture
def app():
    return Application([("/", MainHandler)])


@pytest.mark.gen_test
async def test_root(fetch):
    """The root is answered as HTML in UTF-8, with or without a query."""
    for path in ("/", "", "/?a=1"):
        answer = await fetch(path)
        assert (answer.code, answer.body) == (200, b"Hello World")
        assert answer.headers["Content-Type"] == "text/html; charset=UTF-8"


@pytest.mark.gen_test
async def test_root_is_only_the_root(fetch):
    """The route "/" matches no other path."""
    for path in ("/foo", "//"):
        answer = await fetch(path)
        assert (answer.code, answer.body) == (404, b"404 Not Found")

"""`Handler.response`: the status and the headers as attributes."""

import pytest

from tatsumaki_py import Application, Handler
from tatsumaki_py.response import Response


class Attributes(Handler):
    def get(self):
        response = self.response
        assert (response.status, response.content_type) == (200, "text/html; charset=UTF-8")
        response.status = 201
        assert response.code == 201
        response.content_type = "text/plain"
        response.content_encoding = "identity"
        response.location = "/it"
        assert response.location == "/it"
        self.write("abc")
        response.content_length = 3
        assert response.content_length == 3

    def post(self):
        response = self.response
        nothing = (response.location, response.content_encoding, response.content_length)
        assert nothing == (None, None, None)
        response.code = 299
        response.location = "/it"
        response.location = response.content_type = None


class WrongLength(Handler):
    def get(self):
        self.response.content_length = 50
        self.write("short")


@pytest.fixture
def app():
    return Application([("/", Attributes), ("/wrong", WrongLength)])


@pytest.mark.gen_test
async def test_what_is_set_goes_out(fetch):
    """The status, set by either name, and the headers that are set as attributes are sent."""
    answer = await fetch("/")
    assert (answer.code, answer.body) == (201, b"abc")
    names = ("Content-Type", "Content-Encoding", "Location", "Content-Length")
    assert [answer.headers[name] for name in names] == ["text/plain", "identity", "/it", "3"]


@pytest.mark.gen_test
async def test_none_is_no_header(fetch):
    """Setting a header to None removes it; a status without a phrase gets "Unknown"."""
    answer = await fetch("/", method="POST")
    assert (answer.code, answer.reason) == (299, "Unknown")
    assert "Location" not in answer.headers
    assert "Content-Type" not in answer.headers


@pytest.mark.gen_test
async def test_wrong_length(ask, expect_log):
    """A wrong `content_length` is an error on the server, and does not leave the client waiting."""
    with (
        expect_log("tornado.application", "Uncaught exception"),
        expect_log("tornado.general", "Cannot send error response"),
    ):
        client = await ask("GET /wrong")
        await client.read_all()


def test_keeps_nothing():
    """A `Response` keeps nothing but its handler, and makes no reference cycle."""
    assert not hasattr(Response, "__dict__") or "__dict__" not in Response.__slots__
    assert Response.__slots__ == ("_handler",)

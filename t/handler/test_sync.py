"""Plain handlers that answer when the method returns."""

import pytest

from tatsumaki_py import Application, Handler


class Text(Handler):
    def get(self):
        self.write("caf\u00e9 \u2603 \U0001f600")

    def post(self):
        self.write("a")
        self.write("b")
        self.write("c", "d")

    def put(self):
        self.response.status = 201

    def delete(self):
        self.response.status = 204


class JSON(Handler):
    def get(self):
        self.write({"success": 1, "word": "caf\u00e9"})


@pytest.fixture
def app():
    return Application([("/text", Text), ("/json", JSON)])


@pytest.mark.gen_test
async def test_text(fetch):
    """Text is sent in UTF-8 with its length, and the connection stays usable."""
    answer = await fetch("/text")
    assert answer.body.decode() == "caf\u00e9 \u2603 \U0001f600"
    assert answer.headers["Content-Length"] == str(len(answer.body))
    assert answer.headers["Content-Type"] == "text/html; charset=UTF-8"


@pytest.mark.gen_test
async def test_json(fetch):
    """A dict is sent as JSON in UTF-8, without a charset in the content type."""
    answer = await fetch("/json")
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.body.decode() == '{"success":1,"word":"caf\u00e9"}'


@pytest.mark.gen_test
async def test_several_writes_and_methods(fetch):
    """Several writes are joined. Without a write, the body is empty."""
    assert (await fetch("/text", method="POST")).body == b"abcd"
    answer = await fetch("/text", method="PUT")
    assert (answer.code, answer.body) == (201, b"")
    assert (await fetch("/text", method="DELETE")).code == 204

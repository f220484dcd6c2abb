"""`binary` writes text as Latin-1."""

import pytest

from tatsumaki_py import Application, Handler


class Binary(Handler):
    binary = True

    def get(self, what):
        self.response.content_type = "image/png"
        self.write(
            {"text": "foo\u00dabar\0\u00ff", "bytes": b"\x89PNG\xff", "wide": "\u2603"}[what]
        )


class Switched(Handler):
    def get(self):
        self.write("\u00ff")
        self.binary = True
        self.write("\u00ff")


@pytest.fixture
def app():
    return Application([(r"/binary/(\w+)", Binary), ("/switched", Switched)])


@pytest.mark.gen_test
async def test_binary(fetch):
    """Text becomes one byte per character; bytes and the content type stay unchanged."""
    answer = await fetch("/binary/text")
    assert answer.body == b"foo\xdabar\x00\xff"
    assert answer.headers["Content-Type"] == "image/png"
    assert (await fetch("/binary/bytes")).body == b"\x89PNG\xff"


@pytest.mark.gen_test
async def test_wide_character(fetch, expect_log):
    """A character outside of Latin-1 causes a 500, not a broken answer."""
    with expect_log("tornado.application", "Uncaught exception") as records:
        answer = await fetch("/binary/wide")
    assert (answer.code, answer.body) == (500, b"Internal Server Error")
    assert records[0].exc_info[0] is UnicodeEncodeError


@pytest.mark.gen_test
async def test_of_one_request(fetch):
    """If a handler sets `binary`, it applies to everything written after that in this request."""
    for _ in range(2):
        assert (await fetch("/switched")).body == b"\xc3\xbf\xff"

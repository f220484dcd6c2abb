"""An exception of a handler becomes the answer."""

from urllib.parse import quote

import pytest

from tatsumaki_py import Application, Error, Handler


class Throw(Handler):
    def get(self, code):
        self.response.header("X-Mine", "1")
        self.write("half an answer")
        Error.HTTP.throw(int(code))

    def post(self, code):
        Error.HTTP.throw(int(code), self.request.param("message"), log_message="in the log")


class Oops(Handler):
    def get(self):
        Error.HTTP.throw(500, "Oops")


class Die(Handler):
    async def get(self):
        self.write("half an answer")
        raise KeyError("secret")


class Plain(Handler):
    def get(self):
        raise Error("not for the client")


class Talkative(Handler):
    def get(self):
        raise UnicodeDecodeError("utf-8", b"", 0, 1, "secret reason")


class Later(Handler):
    asynchronous = True

    def get(self):
        Error.HTTP.throw(418)


@pytest.fixture
def app():
    return Application(
        [
            (r"/throw/(\d+)", Throw),
            *((f"/{cls.__name__.lower()}", cls) for cls in (Oops, Die, Plain, Talkative, Later)),
        ]
    )


@pytest.mark.gen_test
async def test_throw(fetch):
    """An `Error.HTTP` is answered with its code, and with its message as text."""
    answer = await fetch("/oops")
    assert (answer.code, answer.body) == (500, b"Oops")
    assert answer.headers["Content-Type"] == "text/plain; charset=UTF-8"
    assert (await fetch("/later")).body == b"I'm a Teapot"


@pytest.mark.parametrize(
    ("code", "body"),
    [(404, b"Not Found"), (302, b"Found"), (200, b"OK"), (999, b"Unknown"), (204, b""), (304, b"")],
)
@pytest.mark.gen_test
async def test_default_message(fetch, code, body):
    """Without a message, the body is the phrase of the status. Earlier output is dropped."""
    answer = await fetch(f"/throw/{code}")
    assert (answer.code, answer.body) == (code, body)
    assert "X-Mine" not in answer.headers


@pytest.mark.gen_test
async def test_message_is_only_text(fetch, expect_log):
    """A message may be any text. It is sent in the body only; the log gets another line."""
    for message in ("\u2603", "a\r\nX-Evil: 1\r\n\r\n<b>", "100%s"):
        with expect_log("tornado.general", "in the log") as records:
            answer = await fetch("/throw/403?message=" + quote(message), method="POST")
        assert (answer.code, answer.body.decode()) == (403, message)
        assert "X-Evil" not in answer.headers
        assert message not in records[0].getMessage()


@pytest.mark.gen_test
async def test_other_exceptions(fetch, expect_log):
    """Any other exception is answered with a plain 500, and its traceback is logged once."""
    for path, kind in (
        ("/die", KeyError),
        ("/plain", Error),
        ("/talkative", UnicodeDecodeError),
    ):
        with expect_log("tornado.application", f"Uncaught exception GET {path}") as records:
            answer = await fetch(path)
        assert (answer.code, answer.body) == (500, b"Internal Server Error")
        assert answer.headers["Content-Type"] == "text/plain; charset=UTF-8"
        assert [record.exc_info[0] for record in records] == [kind]


@pytest.mark.gen_test
async def test_code_that_is_none(fetch, expect_log):
    """A code that HTTP does not allow is a programmer's mistake, and is answered with 500."""
    with expect_log("tornado.application", "Uncaught exception") as records:
        assert (await fetch("/throw/42")).code == 500
    assert "42" in str(records[0].exc_info[1])

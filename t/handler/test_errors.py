"""send_error, write_error and serve_traceback."""

import pytest
import tornado.web

from tatsumaki_py import Application, Error, Handler


class Send(Handler):
    def get(self, code):
        self.response.header("X-Mine", "1")
        self.write("half an answer")
        self.send_error(int(code), reason=self.request.param("reason"))


class Override(Handler):
    def write_error(self, status_code, **kwargs):
        error = kwargs["exc_info"][1]
        self.finish({"code": status_code, "message": str(error)})

    def get(self):
        Error.HTTP.throw(409, "taken")

    def post(self):
        self.get_argument("missing")


class Raise(Handler):
    def get(self, what):
        raise {
            "tornado": tornado.web.HTTPError(403, "for the log"),
            "reason": tornado.web.HTTPError(403, reason="Not Today"),
            "finish": tornado.web.Finish("finished"),
            "later": Error.HTTP(503, "later", retry_after=5),
            "error": ValueError("secret"),
        }[what]

    def post(self, what):
        self.write("sent")
        self.flush()
        raise ValueError("secret")


@pytest.fixture
def app():
    rules = [(r"/send/(\d+)", Send), ("/override", Override), (r"/raise/(\w+)", Raise)]
    return Application(rules)


class TestTraceback:
    """The application has the setting `serve_traceback`."""

    @pytest.fixture
    def app(self, app):
        app.settings["serve_traceback"] = True
        return app

    @pytest.mark.gen_test
    async def test_is_served(self, fetch, expect_log):
        """The answer contains the traceback, in Tornado's form."""
        with expect_log("tornado.application", "Uncaught exception"):
            answer = await fetch("/raise/error")
        assert (answer.code, answer.headers["Content-Type"]) == (500, "text/plain")
        assert b"ValueError: secret" in answer.body


@pytest.mark.gen_test
async def test_send_error(fetch):
    """`send_error` answers with the phrase of the code, or with the given reason."""
    answer = await fetch("/send/404")
    assert (answer.code, answer.body) == (404, b"Not Found")
    assert answer.headers["Content-Type"] == "text/plain; charset=UTF-8"
    assert "X-Mine" not in answer.headers
    answer = await fetch("/send/404?reason=Gone%20Fishing")
    assert (answer.reason, answer.body) == ("Gone Fishing", b"Gone Fishing")


@pytest.mark.gen_test
async def test_override(fetch, expect_log):
    """`write_error` may be overridden as in Tornado."""
    assert (await fetch("/override")).body == b'{"code":409,"message":"taken"}'
    with expect_log("tornado.general", "Missing argument missing"):
        assert b"Missing argument" in (await fetch("/override", method="POST")).body


@pytest.mark.gen_test
async def test_exceptions_of_tornado(fetch, expect_log):
    """The message of Tornado's `HTTPError` is only logged. `Finish` is not an error."""
    with expect_log("tornado.general", "for the log"):
        answer = await fetch("/raise/tornado")
    assert (answer.code, answer.body) == (403, b"Forbidden")
    assert (await fetch("/raise/reason")).body == b"Not Today"
    answer = await fetch("/raise/finish")
    assert (answer.code, answer.body) == (200, b"finished")


@pytest.mark.gen_test
async def test_after_flush(ask, expect_log):
    """An error after the headers were sent is logged, and the answer is cut off."""
    with (
        expect_log("tornado.application", "Uncaught exception"),
        expect_log("tornado.general", "Cannot send error response after headers written"),
    ):
        client = await ask("POST /raise/error", "Connection: close", body="x")
        answer = await client.read_all()
    assert b"sent" in answer
    assert b"secret" not in answer


@pytest.mark.gen_test
async def test_retry_after(fetch):
    """An `Error.HTTP` may set `Retry-After`."""
    answer = await fetch("/raise/later")
    assert (answer.code, answer.body) == (503, b"later")
    assert answer.headers["Retry-After"] == "5"

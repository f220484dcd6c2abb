"""`response.redirect` sets a status and a header, as in Plack; `Handler.redirect` is Tornado's."""

import pytest

from tatsumaki_py import Application, Handler


class Redirect(Handler):
    def get(self):
        return self.response.redirect(self.request.param("to"))

    def post(self):
        assert self.response.redirect() is None
        self.response.redirect("/there", 301)
        assert self.response.redirect() == "/there"
        self.response.cookies["session"] = "1"
        self.write("moved")

    def put(self):
        self.redirect("/there", permanent=True)
        self.finish()


class Later(Handler):
    asynchronous = True

    def get(self):
        self.response.redirect("/there")
        self.finish()


@pytest.fixture
def app():
    return Application([("/", Redirect), ("/later", Later)])


@pytest.mark.gen_test
async def test_redirect(fetch):
    """The address is sent as it is, without a body; the default status is 302."""
    answer = await fetch("/?to=/there%3Fa=1")
    assert (answer.code, answer.headers["Location"], answer.body) == (302, "/there?a=1", b"")
    answer = await fetch("/later")
    assert (answer.code, answer.headers["Location"]) == (302, "/there")


@pytest.mark.gen_test
async def test_what_follows(fetch):
    """A handler can set cookies and write a body after `redirect`, which sends nothing yet."""
    answer = await fetch("/", method="POST")
    assert (answer.code, answer.body) == (301, b"moved")
    assert answer.headers["Set-Cookie"] == "session=1; Path=/"


@pytest.mark.gen_test
async def test_of_tornado(fetch):
    """`Handler.redirect` finishes the answer; calling `finish` again is harmless."""
    answer = await fetch("/", method="PUT")
    assert (answer.code, answer.headers["Location"]) == (301, "/there")


@pytest.mark.gen_test
async def test_cannot_split(fetch, expect_log):
    """A line end in an address is answered with 500 and adds no header."""
    with expect_log("tornado.application", "Uncaught exception"):
        answer = await fetch("/?to=/a%0D%0AX-Evil:%201")
    assert (answer.code, answer.headers.get("X-Evil")) == (500, None)

"""`Handler.response`: status, headers, cookies and body as attributes."""

import pytest

from tatsumaki_py import Application, Handler
from tatsumaki_py.response import Response


class Attributes(Handler):
    def get(self):
        response = self.response
        assert (response.status, response.content_type) == (200, "text/html; charset=UTF-8")
        assert response.header("X-None") is None
        response.status = 201
        response.content_type = "text/plain"
        response.header("X-Number", 3)
        assert response.header("x-number") == "3"
        assert response.headers["X-NUMBER"] == "3"
        self.write("a", "b")
        assert response.body == b"ab"
        response.body = "c"

    def post(self):
        self.response.body = [1]

    def put(self):
        self.response.status = 299


class Redirect(Handler):
    def get(self):
        self.response.redirect(self.request.param("to"))

    def post(self):
        self.response.redirect("/there", 301)

    def put(self):
        self.redirect("/there", permanent=True)


class SetCookie(Handler):
    def get(self):
        cookies = self.response.cookies
        cookies["plain"] = "b"
        cookies["full"] = {
            "value": "v",
            "path": "/p",
            "max_age": 60,
            "httponly": True,
            "samesite": "Lax",
        }
        self.set_cookie("tornado", "t")
        del cookies["old"]


class BadCookie(Handler):
    def get(self):
        self.response.cookies["a"] = self.request.param("value")


class Evil(Handler):
    def get(self):
        self.response.header("X-Evil", "a\r\nSet-Cookie: evil=1")


@pytest.fixture
def app():
    rules = [("/", Attributes), ("/redirect", Redirect), ("/cookies", SetCookie), ("/evil", Evil)]
    rules += [("/bad", BadCookie)]
    return Application(rules)


@pytest.mark.gen_test
async def test_attributes(fetch):
    """What is set is what goes out; a body replaces what was written."""
    answer = await fetch("/")
    assert (answer.code, answer.body, answer.headers["X-Number"]) == (201, b"c", "3")
    assert answer.headers["Content-Type"] == "text/plain"
    answer = await fetch("/", method="POST")
    assert (answer.body, answer.headers["Content-Type"]) == (b"[1]", "application/json")
    answer = await fetch("/", method="PUT")
    assert (answer.code, answer.reason) == (299, "Unknown")


@pytest.mark.gen_test
async def test_redirect(fetch):
    """The address goes out as it is, without a body."""
    answer = await fetch("/redirect?to=/there%3Fa=1")
    assert (answer.code, answer.headers["Location"], answer.body) == (302, "/there?a=1", b"")
    for method in ("POST", "PUT"):
        assert (await fetch("/redirect", method=method)).code == 301


@pytest.mark.gen_test
async def test_redirect_cannot_split(fetch, expect_log):
    """A line end in an address is a 500, no second header."""
    with expect_log("tornado.application", "Uncaught exception"):
        answer = await fetch("/redirect?to=/a%0D%0AX-Evil:%201")
    assert answer.code == 500
    assert "X-Evil" not in answer.headers
    with expect_log("tornado.application", "Uncaught exception"):
        answer = await fetch("/evil")
    assert (answer.code, answer.headers.get("Set-Cookie")) == (500, None)


@pytest.mark.gen_test
async def test_cookies(fetch):
    """Each is a Set-Cookie of its own; one that is deleted expires."""
    plain, full, tornado, old = sorted_cookies(await fetch("/cookies"))
    assert plain == "plain=b; Path=/"
    assert full == "full=v; HttpOnly; Max-Age=60; Path=/p; SameSite=Lax"
    assert tornado == "tornado=t; Path=/"
    assert old.startswith('old=""; expires=')


@pytest.mark.gen_test
async def test_bad_cookie(fetch, expect_log):
    """What is no cookie's value raises, instead of becoming another attribute."""
    with expect_log("tornado.application", "Uncaught exception"):
        answer = await fetch("/bad?value=a%3B%20Domain=evil")
    assert (answer.code, answer.headers.get("Set-Cookie")) == (500, None)


def sorted_cookies(answer):
    cookies = {cookie.split("=")[0]: cookie for cookie in answer.headers.get_list("Set-Cookie")}
    return [cookies[name] for name in ("plain", "full", "tornado", "old")]


def test_keeps_nothing():
    """It is made anew for each access, so that it makes no reference cycle."""
    assert not hasattr(Response, "__dict__") or "__dict__" not in Response.__slots__
    assert Response.__slots__ == ("_handler",)

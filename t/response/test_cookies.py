"""`response.cookies`: the cookies that the response sets."""

from datetime import UTC, datetime

import pytest

from tatsumaki_py import Application, Handler

NEVER = "expires=Thu, 01 Jan 1970 00:00:00 GMT"
LATER = "expires=Fri, 05 Dec 2031 12:00:00 GMT"
COOKIES = {
    "plain": ("b", "plain=b; Path=/"),
    "number": (5, "number=5; Path=/"),
    "full": (
        {"value": "v", "path": "/p", "max_age": 60, "httponly": True, "samesite": "Lax"},
        "full=v; HttpOnly; Max-Age=60; Path=/p; SameSite=Lax",
    ),
    "hyphen": ({"value": "v", "max-age": 60}, "hyphen=v; Max-Age=60; Path=/"),
    "empty": ({"path": "/p"}, 'empty=""; Path=/p'),
    "epoch": ({"value": "v", "expires": 1954238400}, f"epoch=v; {LATER}; Path=/"),
    "digits": ({"value": "v", "expires": "1954238400"}, f"digits=v; {LATER}; Path=/"),
    "text": ({"value": "v", "expires": LATER.partition("=")[2]}, f"text=v; {LATER}; Path=/"),
    "datetime": (
        {"value": "v", "expires": datetime(2031, 12, 5, 12, tzinfo=UTC)},
        f"datetime=v; {LATER}; Path=/",
    ),
    "session": ({"value": "v", "expires": None, "max_age": None}, "session=v; Path=/"),
    "deleted": ({"value": "", "expires": 0}, f'deleted=""; {NEVER}; Path=/'),
    "zero": ({"value": "v", "expires": "0"}, f"zero=v; {NEVER}; Path=/"),
    "age": ({"value": "v", "max-age": 0, "expires": 1954238400}, f"age=v; {NEVER}; Path=/"),
}
MISTAKES = {
    "attribute": "a; Domain=evil",
    "line end": "a\r\nX-Evil: 1",
    "path": {"value": "a", "path": "/; Domain=evil"},
    "no date": {"value": "a", "expires": "+3M"},
}


class SetCookies(Handler):
    def get(self):
        cookies = self.response.cookies
        for name, (value, _) in COOKIES.items():
            cookies[name] = value
        self.set_cookie("tornado", "t")
        del cookies["old"]

    def post(self):
        self.response.cookies["a"] = MISTAKES[self.request.param("mistake")]


@pytest.fixture
def app():
    return Application([("/", SetCookies)])


@pytest.mark.gen_test
async def test_cookies(fetch):
    """Each cookie has its own Set-Cookie. A time is a number, a date or text; 0 deletes it."""
    lines = (await fetch("/")).headers.get_list("Set-Cookie")
    cookies = {line.partition("=")[0]: line for line in lines}
    assert cookies.pop("tornado") == "tornado=t; Path=/"
    assert cookies.pop("old").startswith('old=""; expires=')
    assert cookies == {name: line for name, (_, line) in COOKIES.items()}


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.gen_test
async def test_mistakes(fetch, expect_log, mistake):
    """A value that a cookie cannot hold raises an exception and adds no attribute or header."""
    with expect_log("tornado.application", "Uncaught exception"):
        answer = await fetch(f"/?mistake={mistake.replace(' ', '+')}", method="POST")
    assert (answer.code, answer.headers.get("Set-Cookie")) == (500, None)
    assert "X-Evil" not in answer.headers

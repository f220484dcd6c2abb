"""`response.headers` and `response.header()`."""

import pytest

from tatsumaki_py import Application, Handler


class Headers(Handler):
    def prepare(self):
        self.set_header("X-Before", "1")

    def get(self):
        response = self.response
        assert response.header("X-None") is None
        response.header("X-Number", 3)
        response.header("X-Lines", ["a", "b"])
        assert (response.header("x-number"), response.headers["X-NUMBER"]) == ("3", "3")
        assert response.headers["X-Lines"] == "a,b"

    def post(self):
        self.response.headers = {"Content-Type": "text/plain", "X-Lines": ["a", "b"]}

    def put(self):
        self.response.headers = [("X-Lines", "a"), ("X-Lines", "b"), ("X-Number", 3)]
        self.response.headers = self.response.headers


BAD = [("X-Evil", "a\r\nSet-Cookie: evil=1"), ("X Evil", "a"), ("X-Evil\r\n", "a"), ("X", ["\0"])]


class Bad(Handler):
    def get(self, number):
        self.response.headers = [BAD[int(number)]]

    def post(self, number):
        self.response.header(*BAD[int(number)])


@pytest.fixture
def app():
    return Application([("/", Headers), (r"/bad/(\d)", Bad)])


@pytest.mark.gen_test
async def test_header(fetch):
    """A header is set and read case-insensitively; a list is sent as one line per value."""
    headers = (await fetch("/")).headers
    assert (headers["X-Number"], headers["X-Before"]) == ("3", "1")
    assert headers.get_list("X-Lines") == ["a", "b"]


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.gen_test
async def test_assigned(fetch, method):
    """Assigning a mapping or pairs replaces all headers except the server's own, such as Date.
    `response.headers` can be assigned to itself."""
    headers = (await fetch("/", method=method)).headers
    assert headers.get_list("X-Lines") == (["a", "b"] if method == "POST" else ["a,b"])
    assert "X-Before" not in headers
    assert headers.get("Content-Type") == ("text/plain" if method == "POST" else None)
    assert {"Date", "Server", "Content-Length"} <= set(headers)


@pytest.mark.parametrize("number", range(len(BAD)))
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.gen_test
async def test_cannot_split(fetch, expect_log, method, number):
    """An invalid header raises a `ValueError`, is answered with 500, and adds no header."""
    with expect_log("tornado.application", "Uncaught exception") as records:
        answer = await fetch(f"/bad/{number}", method=method)
    assert isinstance(records[0].exc_info[1], ValueError)
    assert answer.code == 500
    assert not {"Set-Cookie", "X-Evil", "X Evil", "X"} & set(answer.headers)

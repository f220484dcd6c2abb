"""Methods that a handler defines, and methods that it does not."""

import pytest

from tatsumaki_py import Application, Error, Handler


class Get(Handler):
    def get(self):
        self.write("got")


class Post(Handler):
    asynchronous = True

    def post(self):
        self.finish("posted")


class Rest(Handler):
    def patch(self):
        self.write("patched")

    def options(self):
        self.response.header("Allow", "OPTIONS, PATCH")

    def put(self):
        self.write("put")

    def delete(self):
        self.write("deleted")


class Own(Handler):
    SUPPORTED_METHODS = ("POST", "PROPFIND")

    def post(self):
        pass

    def propfind(self):
        self.write("found")


class Empty(Handler):
    def get(self):
        Error.HTTP.throw(405, "not today")


@pytest.fixture
def app():
    classes = (Get, Post, Rest, Own, Empty, Handler)
    return Application([(f"/{cls.__name__}", cls) for cls in classes])


@pytest.mark.parametrize(
    ("request_line", "allow"),
    [
        ("POST /Get", "GET, HEAD"),
        ("PATCH /Get", "GET, HEAD"),
        ("OPTIONS /Get", "GET, HEAD"),
        ("FOO /Get", "GET, HEAD"),
        ("TRACE /Get", "GET, HEAD"),
        ("get /Get", "GET, HEAD"),
        ("GET /Post", "POST"),
        ("HEAD /Post", "POST"),
        ("GET /Rest", "DELETE, PATCH, PUT, OPTIONS"),
        ("GET /Handler", ""),
        ("GET /Own", "POST, PROPFIND"),
    ],
)
@pytest.mark.gen_test
async def test_405(ask, request_line, allow):
    """A missing method is answered with 405 and `Allow`."""
    client = await ask(request_line, "Connection: close")
    head, _, body = (await client.read_all()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 405 Method Not Allowed\r\n")
    assert f"\r\nAllow: {allow}".encode() in head
    assert body == (b"" if request_line.startswith("HEAD") else b"Method Not Allowed")


@pytest.mark.gen_test
async def test_thrown(fetch):
    """An `Error.HTTP` with code 405 keeps its message."""
    answer = await fetch("/Empty")
    assert (answer.code, answer.body, answer.headers["Allow"]) == (405, b"not today", "GET, HEAD")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "/Rest", b"patched"),
        ("PUT", "/Rest", b"put"),
        ("DELETE", "/Rest", b"deleted"),
        ("OPTIONS", "/Rest", b""),
        ("PROPFIND", "/Own", b"found"),
        ("POST", "/Post", b"posted"),
    ],
)
@pytest.mark.gen_test
async def test_defined(fetch, method, path, body):
    """A subclass may define any method that Tornado knows, and may add others."""
    answer = await fetch(path, method=method)
    assert (answer.code, answer.body) == (200, body)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "FOO"])
@pytest.mark.gen_test
async def test_404(fetch, method):
    """An unknown path is answered with 404 for every method."""
    answer = await fetch("/nowhere", method=method)
    assert answer.code == 404
    assert answer.body == (b"" if method == "HEAD" else b"404 Not Found")
    assert answer.headers["Content-Type"] == "text/html; charset=UTF-8"

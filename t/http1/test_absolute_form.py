"""Targets that are absolute URLs, as clients send them to a proxy (RFC 9112 section 3.2.2)."""

import pytest
from support.wire import read_reply
from tornado.escape import json_decode
from tornado.web import Application, RequestHandler


class Where(RequestHandler):
    def get(self):
        request = self.request
        self.write({"where": [request.uri, request.path, request.query, request.host]})

    def options(self):
        self.write({"where": self.request.uri})


class Other(RequestHandler):
    def get(self):
        self.write({"where": "other"})


@pytest.fixture
def app():
    app = Application([("/a/.*", Where), ("/", Where), (r"\*", Where)])
    app.add_handlers(r"other\.example", [("/a/b", Other)])
    return app


@pytest.mark.parametrize(
    ("target", "where"),
    [
        ("http://b.example/a/b?c=d", ["/a/b?c=d", "/a/b", "c=d", "b.example"]),
        ("HTTP://b.example:8080/a/", ["/a/", "/a/", "", "b.example:8080"]),
        ("https://[::1]:80/a/", ["/a/", "/a/", "", "[::1]:80"]),
        ("http://b.example", ["/", "/", "", "b.example"]),
        ("http://b.example?c", ["/?c", "/", "c", "b.example"]),
        ("/a/http://b.example/", ["/a/http://b.example/"] * 2 + ["", "x"]),
        ("http://other.example/a/b", "other"),
    ],
)
@pytest.mark.gen_test
async def test_routed(connect, target, where):
    """The path of the URL selects the handler. Its host replaces the header Host."""
    client = await connect(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    reply = await read_reply(client)
    assert (reply.status, json_decode(reply.body)["where"]) == (200, where)


@pytest.mark.parametrize(
    "target",
    [
        "http://",
        "http:///a/b",
        "http://me@b.example/a/",
        "http://b example/a/",
        "http://b.example\\a/",
        "http://b.example,c.example/a/",
    ],
)
@pytest.mark.gen_test
async def test_no_host(connect, target):
    """A URL with an invalid or ambiguous host is refused."""
    client = await connect(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert (await read_reply(client)).status in (400, 404)


@pytest.mark.parametrize(
    ("line", "status"), [("OPTIONS * HTTP/1.1", 200), ("GET a/b HTTP/1.1", 404)]
)
@pytest.mark.gen_test
async def test_other_forms(connect, line, status):
    client = await connect(f"{line}\r\nHost: x\r\n\r\n".encode())
    assert (await read_reply(client)).status == status


@pytest.mark.gen_test
async def test_no_header_host(connect):
    """HTTP/1.1 requires the header Host, whatever the target is."""
    client = await connect(b"GET http://b.example/a/ HTTP/1.1\r\n\r\n")
    assert (await client.read_all()).startswith(b"HTTP/1.1 400 ")

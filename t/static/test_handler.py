"""The handler that serves the module."""

import mimetypes

import pytest
import tornado.web
from support.program import ROOT
from support.wire import read_reply

from tatsumaki_py import TatsumakiJS

ROUTES = [(r"/(tatsumaki\.js)", TatsumakiJS), (r"/all/(.*)", TatsumakiJS)]


@pytest.fixture
def app():
    """An application of Tornado; the tests of pages use one of this package."""
    return tornado.web.Application(ROUTES)


@pytest.fixture
def get(http_server, http_port, raw):
    """`reply = await get("/path", "Header: value")` returns a `Reply`."""

    async def get(path, *headers):
        client = await raw(http_port)
        lines = [f"GET {path} HTTP/1.1", "Host: x", "Connection: close", *headers]
        await client.send("\r\n".join([*lines, "", ""]).encode())
        return await read_reply(client)

    return get


@pytest.mark.gen_test
async def test_it_is_served(get):
    """The module is sent as JavaScript with `no-cache`; if it has not changed, 304 is sent."""
    reply = await get("/tatsumaki.js")
    assert reply.body == (ROOT / "tatsumaki_py/static/tatsumaki.js").read_bytes()
    assert reply.headers["content-type"].startswith("text/javascript")
    assert reply.headers["cache-control"] == "no-cache"
    again = await get("/tatsumaki.js", f"If-None-Match: {reply.headers['etag']}")
    assert (again.status, again.body) == (304, b"")


@pytest.mark.gen_test
async def test_pages_of_other_origins_may_import_it(get):
    """The module and a 304 have the headers with which pages from all origins can import it."""
    reply = await get("/tatsumaki.js", "Origin: https://a.example")
    again = await get("/tatsumaki.js", f"If-None-Match: {reply.headers['etag']}")
    for headers in (reply.headers, again.headers):
        assert headers["access-control-allow-origin"] == "*"
        assert headers["cross-origin-resource-policy"] == "cross-origin"


@pytest.mark.gen_test
async def test_its_type_is_not_that_of_the_machine(get, monkeypatch):
    """The module has the type for JavaScript, whatever the machine's table of types says."""
    monkeypatch.setattr(mimetypes, "guess_type", lambda path: ("text/plain", None))
    assert (await get("/tatsumaki.js")).headers["content-type"] == "text/javascript; charset=utf-8"


@pytest.mark.parametrize("path", ["", "x.js", "../handler.py", "%2e%2e/handler.py", "%00"])
@pytest.mark.gen_test
async def test_nothing_else_is(get, path, log_watch):
    """The handler serves no other file, even if the route matches every path."""
    with log_watch.expect("tornado", ""):
        assert (await get(f"/all/{path}")).status in (403, 404)

"""The handler that serves the module."""

import pytest
import tornado.web
from support.program import ROOT
from support.wire import read_reply

from tatsumaki_py import TatsumakiJS

ROUTES = [(r"/(tatsumaki\.js)", TatsumakiJS), (r"/all/(.*)", TatsumakiJS)]


@pytest.fixture
def app():
    """Tornado's own; the pages are tested with ours."""
    return tornado.web.Application(ROUTES)


@pytest.fixture
def get(http_server, http_port, raw):
    """`reply = await get("/path", "Header: value")`"""

    async def get(path, *headers):
        client = await raw(http_port)
        lines = [f"GET {path} HTTP/1.1", "Host: x", "Connection: close", *headers]
        await client.send("\r\n".join([*lines, "", ""]).encode())
        return await read_reply(client)

    return get


@pytest.mark.gen_test
async def test_it_is_served(get):
    """As a module that a browser accepts, and asks for anew when it has changed."""
    reply = await get("/tatsumaki.js")
    assert reply.body == (ROOT / "tatsumaki_py/static/tatsumaki.js").read_bytes()
    assert reply.headers["content-type"].startswith("text/javascript")
    assert reply.headers["cache-control"] == "no-cache"
    again = await get("/tatsumaki.js", f"If-None-Match: {reply.headers['etag']}")
    assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize("path", ["", "x.js", "../handler.py", "%2e%2e/handler.py", "%00"])
@pytest.mark.gen_test
async def test_nothing_else_is(get, path, log_watch):
    """Whatever the route lets through."""
    with log_watch.expect("tornado", ""):
        assert (await get(f"/all/{path}")).status in (403, 404)

"""The programs in the guide that replace Perl modules do what the guide says."""

import asyncio
import re
from types import SimpleNamespace

import pytest
from support.program import ROOT
from tornado.simple_httpclient import HTTPStreamClosedError

from tatsumaki_py import Application, Handler

GUIDE = (ROOT / "docs/migration.md").read_text()


def recipe(name, port=8000):
    (code,) = (c for c in re.findall(r"```python\n(.*?)```", GUIDE, re.S) if f" {name}(" in c)
    names = {}
    exec(code.replace("8000", str(port)), names)
    return SimpleNamespace(**names)


class Upstream(Handler):
    async def get(self, how):
        self.set_status(201)
        self.response.content_type = "text/plain"
        await self.stream_write("half")
        if how == "cut":
            # Wait until the first half has been passed on.
            await asyncio.sleep(0.1)
            self.send_error()
        else:
            await self.stream_write(" and half")


@pytest.fixture
def app():
    return Application([("/members", recipe("Members").Page), (r"/up/(\w+)", Upstream)])


@pytest.fixture
def proxy(app, http_port):
    app.add_handlers("/proxy/(.*)", recipe("Proxy", http_port).Proxy)


@pytest.mark.gen_test
async def test_basic_authentication(fetch):
    """A request without the right password is answered with 401; with it, the method is called."""
    for headers in ({}, {"Authorization": "Basic eA=="}, {"Authorization": "caf\u00e9"}):
        answer = await fetch("/members", headers=headers)
        assert (answer.code, answer.body) == (401, b"Authorization required")
        assert answer.headers["WWW-Authenticate"] == 'Basic realm="members"'
    answer = await fetch("/members", auth_username="user", auth_password="password")
    assert answer.body == b"welcome"


@pytest.mark.gen_test
async def test_proxy(fetch, proxy):
    """The proxy passes on the status, type and body; it cuts its answer if the upstream fails."""
    answer = await fetch("/proxy/up/all")
    assert (answer.code, answer.body) == (201, b"half and half")
    assert answer.headers["Content-Type"] == "text/plain"
    assert (await fetch("/proxy/none")).code == 404
    with pytest.raises(HTTPStreamClosedError):
        await fetch("/proxy/up/cut")


def test_basename():
    """`basename` returns the same names as Plack's."""
    names = {"a b.txt": "a_b.txt", r"C:\x\y.gif": "y.gif", "../\u00e9t\u00e9.png": "_t_.png"}
    upload = SimpleNamespace
    basename = recipe("basename").basename
    assert {name: basename(upload(filename=name)) for name in names} == names

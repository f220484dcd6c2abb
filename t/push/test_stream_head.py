"""Streams whose handlers have the same headers share the bytes of the head; other streams
do not.
"""

import pytest
from support.wire import soon
from tornado.httputil import HTTPHeaders
from tornado.web import OutputTransform

from tatsumaki_py import Application, Handler, SubscribeHandler
from tatsumaki_py.http1.exchange import Exchange
from tatsumaki_py.push import stream_head
from tatsumaki_py.push.open_streams import open_streams

pytestmark = pytest.mark.both_servers

sent = []


class Named(SubscribeHandler):
    def prepare(self):
        self.set_header("X-Name", self.request.param("name"))


class Prepared(SubscribeHandler):
    """A handler that replaces headers of a stream."""

    def prepare(self):
        self.set_header("Cache-Control", "no-cache")
        self.set_header("X-Content-Type-Options", "mine")
        self.set_header("Connection", "keep-alive")


class Own(SubscribeHandler):
    def set_header(self, name, value):
        super().set_header(name, f"{value}; mine")


class Cookie(SubscribeHandler):
    def prepare(self):
        self.set_cookie("name", self.request.param("name"))


class Created(SubscribeHandler):
    def prepare(self):
        self.set_status(201)


class Late(SubscribeHandler):
    async def get(self, *args):
        await super().get(*args)
        self.set_header("X-Late", "but not too late")


class Body(Handler):
    asynchronous = True

    def get(self, channel):
        self.stream_write("piece")


class Cursors(Body):
    def prepare(self):
        self.add_header("Last-Event-ID", "a")
        self.add_header("Last-Event-ID", "b")


class Foreign(Body):
    def prepare(self):
        self.set_header("X-Foreign", "caf\xe9")
        self.set_header("Last-Event-ID", "caf\xe9")


KINDS = (SubscribeHandler, Named, Prepared, Own, Cookie, Created, Late, Body, Cursors, Foreign)


class Transform(OutputTransform):
    def __init__(self, request):
        pass

    def transform_first_chunk(self, status_code, headers, chunk, finishing):
        headers["X-Transformed"] = "yes"
        return status_code, headers, chunk


@pytest.fixture
def app():
    return Application([(f"/{kind.__name__}/(.*)", kind) for kind in KINDS])


@pytest.fixture(autouse=True)
def noted(monkeypatch):
    """Note the heads that are sent as they are."""
    sent.clear()
    stream_head._heads.clear()
    send_head = Exchange.send_head

    def noting(self, data):
        done = send_head(self, data)
        if done:
            sent.append(data)
        return done

    monkeypatch.setattr(Exchange, "send_head", noting)


@pytest.fixture
def open(http_server, http_port, raw):
    """`await open(kind)` reads the status line and headers of a stream, and one byte of its
    body.
    """

    async def open(kind, query="", version="1.1"):
        client = await raw(http_port)
        target = f"/{kind.__name__}/room?transport=sse{query}"
        await client.send(f"GET {target} HTTP/{version}\r\nHost: x\r\n\r\n".encode())
        head = (await client.read_until(b"\r\n\r\n")).decode("latin-1")
        await client.read_exactly(1)
        client.close()
        await soon(lambda: not [*open_streams()])
        line, _, fields = head.removesuffix("\r\n\r\n").partition("\r\n")
        return line, HTTPHeaders.parse(fields)

    return open


def shared(http_server):
    """Whether the last head was sent as it is, which only the fast server can do."""
    return bool(sent) or type(http_server).__name__ != "FastServer"


@pytest.fixture
def normal(monkeypatch, open):
    """`await normal(...)` works like `open`, with a head that Tornado makes."""

    async def normal(*args):
        with monkeypatch.context() as patch:
            patch.setattr(stream_head, "_is_plain", lambda handler: False)
            return await open(*args)

    return normal


def without_date(head):
    line, headers = head
    return line, sorted((name, value) for name, value in headers.get_all() if name != "Date")


@pytest.mark.gen_test
@pytest.mark.parametrize("kind", [SubscribeHandler, Prepared, Body], ids=lambda kind: kind.__name__)
async def test_the_same(open, normal, http_server, kind):
    """A shared head is the same as the head that Tornado makes."""
    heads = [await open(kind) for _ in range(3)]
    assert shared(http_server)
    # There may be two: a new second may have begun.
    assert len(stream_head._heads) <= 2
    for head in heads:
        assert without_date(head) == without_date(await normal(kind))


@pytest.mark.gen_test
async def test_its_own(open, http_server):
    """A client gets the headers of its own handler."""
    for name in ("a", "b", "a"):
        _, headers = await open(Named, f"&name={name}")
        assert headers["X-Name"] == name
    assert shared(http_server)


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "kind", [Own, Cookie, Created, Cursors, Foreign], ids=lambda kind: kind.__name__
)
async def test_not_shared(open, normal, kind):
    """A head with a changed status or unusual headers is made by Tornado."""
    head = await open(kind, "&name=x")
    assert not sent
    assert without_date(head) == without_date(await normal(kind, "&name=x"))


@pytest.mark.gen_test
async def test_old_client(open):
    """A stream over HTTP/1.0 is not chunked."""
    _, headers = await open(SubscribeHandler, "", "1.0")
    assert "Transfer-Encoding" not in headers
    assert not sent


@pytest.mark.gen_test
async def test_transform(app, open):
    """A transform of the program can change the head."""
    app.transforms.append(Transform)
    _, headers = await open(SubscribeHandler)
    assert headers["X-Transformed"] == "yes"
    assert not sent


@pytest.mark.gen_test
async def test_after_the_method(open, http_server):
    """An override of `get` may set headers after it has called `super().get`."""
    _, headers = await open(Late)
    assert headers["X-Late"] == "but not too late"
    assert shared(http_server)


@pytest.mark.gen_test
async def test_few_are_kept(open, http_server):
    for number in range(20):
        await open(Named, f"&name={number}")
    assert shared(http_server)
    assert len(stream_head._heads) <= stream_head.MAX_HEADS

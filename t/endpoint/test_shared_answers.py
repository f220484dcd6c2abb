"""Long polls that get the same events share an answer, but each client keeps its own headers."""

import asyncio
import gzip
import json
from typing import ClassVar, NamedTuple

import pytest
from support.answers import until
from tornado.httputil import HTTPHeaders
from tornado.web import GZipContentEncoding

from tatsumaki_py import Application, MessageQueue, SubscribeHandler
from tatsumaki_py.endpoint import shared_answers
from tatsumaki_py.http1 import connection
from tatsumaki_py.http1.exchange import Exchange
from tatsumaki_py.push import tornado_connection

pytestmark = pytest.mark.both_servers

whole = []


class Origins(SubscribeHandler):
    allowed_origins = ("http://a.example", "http://b.example")


class Cookie(SubscribeHandler):
    def prepare(self):
        self.set_cookie("name", self.request.param("client_id"))


class Default(SubscribeHandler):
    def set_default_headers(self):
        self.set_header("X-Default", self.request.param("client_id"))


class Written(SubscribeHandler):
    def write(self, chunk=None, *more):
        super().write([{"written": len(chunk)}])


class Finished(SubscribeHandler):
    def finish(self, chunk=None):
        self.set_header("X-Finished", "yes")
        return super().finish(chunk)


class Own(SubscribeHandler):
    def get_chunk(self, chunk, *more):
        return b"mine"


class Ended(SubscribeHandler):
    ended: ClassVar[list] = []

    def on_finish(self):
        self.ended.append((self.get_status(), self._headers["Content-Length"]))
        self.set_header("X-Late", "does nothing")


class Status(SubscribeHandler):
    def can_subscribe(self, channel):
        self.set_status(203, "OK")
        return True


class Length(SubscribeHandler):
    """A handler that sets a wrong Content-Length."""

    ended: ClassVar[list] = []

    def can_subscribe(self, channel):
        self.set_header("Content-Length", "1")
        return True

    def on_finish(self):
        self.ended.append(self.get_status())


KINDS = (SubscribeHandler, Origins, Cookie, Default, Written, Finished, Own, Ended, Status, Length)


@pytest.fixture
def app():
    return Application([(f"/{kind.__name__}/(.*)", kind) for kind in KINDS])


@pytest.fixture(autouse=True)
def noted(monkeypatch):
    """Note the answers that are sent whole."""
    whole.clear()
    send_whole = Exchange.send_whole

    def noting(self, data):
        sent = send_whole(self, data)
        if sent:
            whole.append(data)
        return sent

    monkeypatch.setattr(Exchange, "send_whole", noting)


class Answer(NamedTuple):
    line: str
    headers: HTTPHeaders
    body: bytes


async def send(client, path, headers=()):
    lines = [f"{name}: {value}\r\n" for name, value in dict(headers).items()]
    await client.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n{''.join(lines)}\r\n".encode())


async def receive(client):
    head = (await client.read_until(b"\r\n\r\n")).decode("latin-1")
    line, _, fields = head.removesuffix("\r\n\r\n").partition("\r\n")
    headers = HTTPHeaders.parse(fields)
    return Answer(line, headers, await client.read_exactly(int(headers["Content-Length"])))


@pytest.fixture
def ask(http_server, http_port, raw):
    """`await ask(kind, names)` sends the polls of these clients on persistent connections,
    publishes one event and returns the answers.
    """

    async def ask(kind, names, headers=()):
        mq = MessageQueue.instance("room")
        clients = [await raw(http_port) for _ in names]
        for client, name in zip(clients, names, strict=True):
            own = dict(headers).get(name, {})
            await send(client, f"/{kind.__name__}/room?client_id={name}", own)
        await until(lambda: set(names) <= {*mq.clients})
        mq.publish({"n": 1})
        return [await receive(client) for client in clients]

    return ask


def is_fast(http_server):
    return type(http_server).__name__ == "FastServer"


@pytest.mark.gen_test
async def test_shared(ask, http_server):
    """Answers with the same events and the same headers share their bytes."""
    answers = await ask(SubscribeHandler, ["a", "b", "c"])
    cursor = MessageQueue.instance("room").cursor()
    for answer in answers:
        assert answer.line == "HTTP/1.1 200 OK"
        assert json.loads(answer.body) == [{"n": 1}]
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Last-Event-ID"] == cursor
        assert answer.headers["Content-Length"] == "9"
    if is_fast(http_server):
        assert len(whole) == 3
        # There may be two: a new second may have begun.
        assert len({id(data) for data in whole}) <= 2


@pytest.mark.gen_test
async def test_own_cursor(http_server, http_port, raw):
    """Each client gets the events after its own cursor."""
    mq = MessageQueue.instance("room")
    ids = [await mq.publish({"n": n}) for n in range(4)]
    client = await raw(http_port)
    for back in (1, 2, 3, 2, 1):
        cursor = ids[3 - back][0]
        await send(client, "/SubscribeHandler/room", {"Last-Event-ID": cursor})
        answer = await receive(client)
        assert json.loads(answer.body) == [{"n": n} for n in range(4 - back, 4)]
        assert answer.headers["Last-Event-ID"] == ids[3][0]


@pytest.mark.gen_test
async def test_no_events(http_server, http_port, raw):
    """A poll without events returns each client's own cursor."""
    mq = MessageQueue.instance("room")
    client = await raw(http_port)
    for n in range(3):
        cursor = (await mq.publish({"n": n}))[0]
        await send(client, "/SubscribeHandler/room?timeout=0", {"Last-Event-ID": cursor})
        answer = await receive(client)
        assert (answer.body, answer.headers["Last-Event-ID"]) == (b"[]", cursor)


@pytest.mark.gen_test
async def test_origins(ask):
    """Each origin gets its own CORS headers."""
    origins = {"a": "http://a.example", "b": "http://b.example", "c": "http://c.example"}
    headers = {name: {"Origin": origin} for name, origin in origins.items()}
    answers = await ask(Origins, ["a", "b", "c", "d", "a2"], headers)
    allowed = [answer.headers.get("Access-Control-Allow-Origin") for answer in answers]
    assert allowed == ["http://a.example", "http://b.example", None, None, None]
    assert {answer.headers["Vary"] for answer in answers} == {"Origin"}


@pytest.mark.parametrize("kind", [Cookie, Default])
@pytest.mark.gen_test
async def test_own_headers(ask, kind):
    """Headers that the program sets appear only in the answer to their own request."""
    first, second = await ask(kind, ["a", "b"])
    name = "Set-Cookie" if kind is Cookie else "X-Default"
    assert [one.headers[name].split(";")[0][-1:] for one in (first, second)] == ["a", "b"]


@pytest.mark.parametrize("kind", [Written, Finished, Own])
@pytest.mark.gen_test
async def test_overridden(ask, kind):
    """An overridden `write`, `finish` or `get_chunk` is called, and the answer is not shared."""
    for answer in await ask(kind, ["a", "b"]):
        if kind is Written:
            assert json.loads(answer.body) == [{"written": 1}]
        elif kind is Finished:
            assert (answer.headers["X-Finished"], answer.body) == ("yes", b'[{"n":1}]')
        else:
            assert answer.body == b"mine"
    assert not whole


@pytest.mark.gen_test
async def test_status(ask):
    (answer,) = await ask(Status, ["a"])
    assert answer.line == "HTTP/1.1 203 OK"


@pytest.mark.gen_test
async def test_wrong_length(http_server, http_port, raw, expect_log):
    """A wrong length ends the connection; `on_finish` is called and the error is logged."""
    Length.ended.clear()
    client = await raw(http_port)
    with (
        expect_log("tatsumaki", "raised"),
        expect_log("tornado.general", "Cannot send error response"),
    ):
        await send(client, "/Length/room?timeout=0")
        assert await client.read_all() == b""
    assert Length.ended == [200]


@pytest.mark.gen_test
async def test_compressed(app, ask, monkeypatch):
    """An answer to a client that accepts gzip is compressed and not shared."""
    app.transforms.append(GZipContentEncoding)
    asked = {"Accept-Encoding": "gzip"}
    monkeypatch.setattr(GZipContentEncoding, "MIN_LENGTH", 1)
    (answer,) = await ask(SubscribeHandler, ["a"], {"a": asked})
    assert json.loads(gzip.decompress(answer.body)) == [{"n": 1}]
    assert "Accept-Encoding" in answer.headers["Vary"]
    assert not whole


@pytest.mark.parametrize(
    "head", ["GET {} HTTP/1.0\r\n\r\n", "GET {} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"]
)
@pytest.mark.gen_test
async def test_last_request(raw, http_port, http_server, head):
    """The answer to the last request of a connection says so, and the connection closes."""
    mq = MessageQueue.instance("room")
    client = await raw(http_port)
    await client.send(head.format("/SubscribeHandler/room").encode())
    await until(lambda: mq.clients)
    mq.publish({"n": 1})
    answer = await asyncio.wait_for(client.read_all(), 5)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b'\r\n\r\n[{"n":1}]')
    assert (b"\r\nConnection: close\r\n" in answer) == ("HTTP/1.1" in head)
    assert not whole


@pytest.mark.gen_test
async def test_after_it(raw, http_port, http_server):
    """`on_finish` sees the sent headers and cannot change other answers. The connection
    stays open.
    """
    Ended.ended.clear()
    mq = MessageQueue.instance("room")
    client = await raw(http_port)
    for n in range(3):
        await client.send(b"GET /Ended/room?client_id=a HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(lambda: any(one.listener for one in mq.clients.values()))
        mq.publish({"n": n})
        answer = await client.read_until(b"]")
        assert answer.endswith(b'\r\n\r\n[{"n":%d}]' % n)
        assert b"X-Late" not in answer
    assert Ended.ended == [(200, "9")] * 3


@pytest.mark.gen_test
async def test_bounded(ask, monkeypatch, http_server):
    """The number of heads that are kept for one answer is bounded."""
    monkeypatch.setattr(shared_answers, "MAX_HEADS", 2)
    names = ["a", "b", "c", "d"]
    answers = await ask(Default, names)
    assert [answer.headers["X-Default"] for answer in answers] == names
    if is_fast(http_server):
        assert len(shared_answers._last.answers) == 2


@pytest.mark.parametrize("reads", [False, True])
@pytest.mark.gen_test
async def test_slow_client(http_server, http_port, small_buffers, raw_small, raw, reads):
    """An answer that the kernel does not take immediately counts when all of it has been sent: a
    client that leaves before that gets its events again.
    """
    mq = MessageQueue.instance("room")
    client = await raw_small(http_port)
    path = "/SubscribeHandler/room?client_id=slow"
    await send(client, path)
    await until(lambda: mq.clients)
    mq.publish({"n": "x" * 500_000})
    assert mq.clients["slow"].listener is not None
    if reads:
        assert len((await receive(client)).body) == 500_010
    else:
        client.reset()
    await until(lambda: mq.clients["slow"].listener is None)
    mq.publish({"n": 2})
    client = await raw(http_port)
    await send(client, path)
    events = json.loads((await receive(client)).body)
    assert [len(str(event["n"])) for event in events] == ([1] if reads else [500_000, 1])


@pytest.mark.gen_test
async def test_reset_meanwhile(http_server, http_port, raw, monkeypatch):
    """A client that resets its connection just before the answer gets its events again."""
    for module in (tornado_connection, connection):
        monkeypatch.setattr(module, "hung_up", lambda descriptor: False)
    mq = MessageQueue.instance("room")
    client = await raw(http_port)
    path = "/SubscribeHandler/room?client_id=reset"
    await send(client, path)
    await until(lambda: mq.clients)
    client.reset()
    mq.publish({"n": 1})
    await until(lambda: mq.clients["reset"].listener is None)
    client = await raw(http_port)
    await send(client, path)
    assert json.loads((await receive(client)).body) == [{"n": 1}]

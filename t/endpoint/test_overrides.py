"""Methods that a program overrides in a `SubscribeHandler` are called despite all shortcuts."""

import asyncio
import functools
import json
from contextvars import ContextVar

import pytest
from support.answers import until

from tatsumaki_py import Application, MessageQueue, PublishHandler, SubscribeHandler

pytestmark = pytest.mark.both_servers

var = ContextVar("var", default="none")
seen = []


class Noting(SubscribeHandler):
    """A handler whose hooks note their name and their client."""

    def note(self, name):
        seen.append((name, self.request.param("client_id")))


class Prepared(Noting):
    async def prepare(self):
        async with asyncio.timeout(5):
            await asyncio.sleep(0)
        self.note("prepare")
        if self.request.param("client_id") == "out":
            self.set_status(401)
            self.finish("out")


class Got(Noting):
    async def get(self, *args):
        self.note("get")
        async with asyncio.timeout(5):
            await super().get(*args)
        self.note("got")


class Async(Noting):
    """A handler whose hooks need a task."""

    async def channels(self):
        async with asyncio.timeout(5):
            await asyncio.sleep(0)
        self.note("channels")
        return ["room"]

    async def can_subscribe(self, channel):
        async with asyncio.timeout(5):
            await asyncio.sleep(0)
        self.note("can_subscribe")
        return self.request.param("client_id") != "out"

    async def on_subscribe(self, channel):
        async with asyncio.timeout(5):
            await asyncio.sleep(0)
        self.note("on_subscribe")


class Sync(Noting):
    """A handler whose hooks are plain functions and see only the context of their own request."""

    def channels(self):
        assert var.get() == "none"
        var.set(self.request.param("client_id"))
        self.note("channels")
        return ["room"]

    def can_subscribe(self, channel):
        self.note("can_subscribe")
        assert var.get() == self.request.param("client_id")
        if self.request.param("client_id") == "bad":
            raise ValueError("no")
        return self.request.param("client_id") != "out"

    def on_subscribe(self, channel):
        self.note("on_subscribe")
        assert var.get() == self.request.param("client_id")


class Initialized(Noting):
    """A handler whose hooks are attributes of the object."""

    def initialize(self):
        self.can_subscribe = lambda channel: self.request.param("client_id") != "out"
        self.on_subscribe = lambda channel: self.note("on_subscribe")


class AsyncPublish(PublishHandler):
    async def can_publish(self, channel):
        async with asyncio.timeout(5):
            await asyncio.sleep(0)
        return True


def noting(method):
    @functools.wraps(method)
    def noting(self, chunk=None, *more):
        seen.append("stream_write")
        return method(self, chunk, *more)

    return noting


class Wrapped(SubscribeHandler):
    stream_write = noting(SubscribeHandler.stream_write)


class EarlyPublish(PublishHandler):
    def can_publish(self, channel):
        self.finish("early")
        return True


@pytest.fixture
def app():
    kinds = (Prepared, Got, Async, Sync, Initialized, Wrapped)
    rules = [(f"/{kind.__name__}/(.*)", kind) for kind in kinds]
    publish = [("/publish/(.*)", AsyncPublish), ("/early/(.*)", EarlyPublish)]
    return Application([*rules, *publish])


@pytest.fixture(autouse=True)
def nothing_seen():
    seen.clear()


@pytest.mark.parametrize(
    ("kind", "calls"),
    [
        (Prepared, ["prepare"]),
        (Got, ["get", "got"]),
        (Async, ["channels", "can_subscribe", "on_subscribe"]),
        (Sync, ["channels", "can_subscribe", "on_subscribe"]),
        (Initialized, ["on_subscribe"]),
    ],
)
@pytest.mark.gen_test
async def test_called(http_client, base_url, kind, calls):
    """The hooks are called in order for each request, in the request's own context."""
    urls = [f"{base_url}/{kind.__name__}/room?client_id={name}" for name in "ab"]
    answers = [http_client.fetch(url) for url in urls]
    mq = MessageQueue.instance("room")
    await until(lambda: {"a", "b"} <= mq.clients.keys())
    await until(lambda: len(seen) == 2 * len(calls))
    mq.publish({"n": 1})
    for answer in answers:
        assert json.loads((await answer).body) == [{"n": 1}]
    for name in "ab":
        assert [call for call, client in seen if client == name] == calls


@pytest.mark.parametrize(
    ("kind", "status"), [(Prepared, 401), (Async, 403), (Sync, 403), (Initialized, 403)]
)
@pytest.mark.gen_test
async def test_refused(http_client, base_url, kind, status):
    """A client that a hook refuses gets the status, and does not become a subscriber."""
    url = f"{base_url}/{kind.__name__}/room?client_id=out"
    assert (await http_client.fetch(url, raise_error=False)).code == status
    assert not MessageQueue.instance("room").clients


@pytest.mark.gen_test
async def test_raises(http_client, base_url, expect_log):
    """An exception in a hook that runs without a task is logged and answered with 500."""
    with expect_log("tornado.application", "Uncaught exception GET /Sync/room"):
        answer = await http_client.fetch(f"{base_url}/Sync/room?client_id=bad", raise_error=False)
    assert answer.code == 500


@pytest.mark.gen_test
async def test_publish(http_client, base_url):
    """A `PublishHandler` may have an asynchronous hook."""
    answer = await http_client.fetch(
        f"{base_url}/publish/room",
        method="POST",
        body='{"n": 1}',
        headers={"Content-Type": "application/json"},
    )
    assert json.loads(answer.body)["id"] == MessageQueue.instance("room").cursor()


@pytest.mark.gen_test
async def test_answers_early(http_client, base_url):
    """A hook may send the answer itself, without a task and without a warning in the log."""
    answer = await http_client.fetch(f"{base_url}/early/room", method="POST", body="a=b")
    assert answer.body == b"early"


@pytest.mark.gen_test
async def test_wrapped(http_server, http_port, raw):
    """A wrapper of `stream_write` is called for each event."""
    client = await raw(http_port)
    await client.send(b"GET /Wrapped/room?transport=sse HTTP/1.1\r\nHost: x\r\n\r\n")
    mq = MessageQueue.instance("room")
    await until(lambda: mq.clients)
    mq.publish({"n": 1})
    await client.read_until(b'{"n":1}')
    assert seen == ["stream_write"]

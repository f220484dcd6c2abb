"""`can_subscribe` and `can_publish` decide which clients are admitted, and refusals are
answered.
"""

import asyncio
import json

import pytest
from support.subscriber import CLIENTS
from support.wire import read_reply, soon
from tornado.httpclient import AsyncHTTPClient

from tatsumaki_py import Application, Error, MessageQueue, PublishHandler, SubscribeHandler

logged = []


class Sub(SubscribeHandler):
    def can_subscribe(self, channel):
        if channel == "who":
            Error.HTTP.throw(401, "log in")
        return channel == "room"


class AsyncSub(SubscribeHandler):
    async def can_subscribe(self, channel):
        await asyncio.sleep(0.001)
        if channel == "who":
            Error.HTTP.throw(401, "log in")
        return channel == "room"


class WaitingSub(SubscribeHandler):
    """`can_subscribe` waits until the test gives the answer."""

    def initialize(self):
        self.finished = 0
        WaitingSub.last = self

    async def can_subscribe(self, channel):
        self.may = asyncio.get_running_loop().create_future()
        return await self.may

    def on_finish(self):
        self.finished += 1


class Silent(SubscribeHandler):
    def can_subscribe(self, channel):
        pass


class Pub(PublishHandler):
    def can_publish(self, channel):
        if channel == "who":
            Error.HTTP.throw(404)
        return channel == "room"


class AsyncPub(PublishHandler):
    async def can_publish(self, channel):
        await asyncio.sleep(0.001)
        return channel == "room"


class Prepared(SubscribeHandler):
    def prepare(self):
        self.set_cookie("session", "s")
        self.set_header("X-Served-By", "me")

    def get_current_user(self):
        return "ann"


class Mine(SubscribeHandler):
    async def channels(self):
        await asyncio.sleep(0.001)
        return [f"user-{self.path_args[0]}"]


class OneName(SubscribeHandler):
    def channels(self):
        return "room"


@pytest.fixture
def app():
    rules = [("sub", Sub), ("async", AsyncSub), ("waiting", WaitingSub), ("silent", Silent)]
    rules += [("mine", Mine), ("one", OneName), ("pub", Pub), ("apub", AsyncPub)]
    return Application([(rf"/{name}/([\w.-]+)", handler) for name, handler in rules])


@pytest.mark.parametrize("kind", ["sub", "async"])
@pytest.mark.parametrize("transport", CLIENTS)
@pytest.mark.gen_test
async def test_refusals(subscriber, transport, kind):
    """A refused client gets a status and one line of text, and does not become a subscriber."""
    for channel, status, line in (("x", 403, b"Forbidden"), ("who", 401, b"log in")):
        client = subscriber(transport, path=f"/{kind}/{channel}")
        await client.request()
        reply = await read_reply(client.connection)
        assert (reply.status, reply.body) == (status, line)
        assert reply.headers["content-type"] == "text/plain; charset=UTF-8"
        assert not MessageQueue.instance(channel).clients


@pytest.mark.parametrize("kind", ["sub", "async"])
@pytest.mark.gen_test
async def test_admitted(subscriber, queue, transport, kind):
    """An admitted client gets its events."""
    queue.publish({"n": 1})
    client = subscriber(transport, path=f"/{kind}/room")
    await client.open()
    assert await client.take(1) == [{"n": 1}]


@pytest.mark.gen_test
async def test_who_leaves_before(subscriber, queue, transport, access_log):
    """A client that leaves while `can_subscribe` is running causes no error and never
    subscribes.
    """
    client = subscriber(transport, path="/waiting/room")
    WaitingSub.last = None
    await client.request()
    handler = await soon(lambda: WaitingSub.last)
    client.close()
    await soon(handler._peer_left)
    handler.may.set_result(True)
    await asyncio.sleep(0.01)
    assert not queue.clients
    assert (handler.finished, len(access_log())) == (1, 1)


@pytest.mark.gen_test
async def test_own_channels(subscriber, transport):
    """`channels` chooses the channels of a request."""
    MessageQueue.instance("user-ann").publish({"n": 1})
    client = subscriber(transport, path="/mine/ann")
    await client.open()
    assert await client.take(1) == [{"n": 1}]


@pytest.mark.parametrize(
    ("path", "mistake"),
    [
        ("/silent/room", "can_subscribe() must return True or False, not None"),
        ("/one/room", "channels() must return a list of names, not 'room'"),
    ],
)
@pytest.mark.gen_test
async def test_mistakes(subscriber, expect_log, path, mistake):
    """A hook that returns a wrong value causes a 500, and the log says why."""
    client = subscriber("sse", path=path)
    with expect_log("tornado.application", "Uncaught exception") as records:
        assert (await client.open()).status == 500
    assert str(records[0].exc_info[1]) == mistake


@pytest.mark.parametrize("kind", ["pub", "apub"])
@pytest.mark.gen_test
async def test_publish(http_server, base_url, kind):
    """A client that may not publish is refused, and no event is published."""
    statuses = {}
    for channel in ("room", "x", "who"):
        reply = await AsyncHTTPClient().fetch(
            f"{base_url}/{kind}/{channel}",
            method="POST",
            body=json.dumps({"n": 1}),
            headers={"Content-Type": "application/json"},
            raise_error=False,
        )
        statuses[channel] = reply.code
    assert statuses == {"room": 200, "x": 403, "who": 404 if kind == "pub" else 403}
    assert [len(MessageQueue.instance(name).backlog_events) for name in statuses] == [1, 0, 0]


class TestPrepared:
    """The headers and the user that a handler sets before it subscribes are kept on every
    transport.
    """

    @pytest.fixture
    def app(self):
        return Application([("/prepared/(.*)", Prepared)], log_function=logged.append)

    @pytest.mark.gen_test
    async def test_what_prepare_sets(self, subscriber, queue, transport):
        """The answer, even to a handshake, has the headers of `prepare`; the request is logged
        once.
        """
        logged.clear()
        queue.publish({"n": 1})
        client = subscriber(transport, path="/prepared/room")
        head = await client.open()
        assert head.headers["set-cookie"].startswith("session=s")
        assert head.headers["x-served-by"] == "me"
        client.close()
        await soon(lambda: logged)
        (handler,) = logged
        status = 101 if transport == "websocket" else 200
        assert (handler.get_status(), handler.current_user) == (status, "ann")

"""`on_finish` is called and the access log is written once for each request, however it ends."""

import asyncio

import pytest
from support.answers import until

from tatsumaki_py import Application, Error, Handler, MessageQueue

ended = []
logged = []


class Ends(Handler):
    """Overrides the hooks without calling those of the base class."""

    def on_finish(self):
        ended.append(type(self).__name__)


class Normal(Ends):
    def get(self):
        self.write("a")


class Failed(Ends):
    def get(self):
        Error.HTTP.throw(403)


class Redirected(Ends):
    def get(self):
        self.redirect("/elsewhere")


class Later(Ends):
    asynchronous = True

    def get(self):
        asyncio.get_running_loop().call_soon(self.finish, "a")


class Stream(Ends):
    asynchronous = True

    def get(self):
        self.stream_write("a")
        self.finish()
        self.finish()


class StreamFailed(Ends):
    async def get(self):
        await self.stream_write("a")
        Error.HTTP.throw(403)


class StreamVanished(Ends):
    asynchronous = True

    def get(self):
        self.stream_write("a")


class PollVanished(Ends):
    asynchronous = True

    def get(self):
        MessageQueue.instance("on_finish").poll_once("me", self.finish)


class AwaitedPollVanished(Ends):
    async def get(self):
        self.write(await MessageQueue.instance("on_finish").poll_once("me"))


class OpenVanished(Ends):
    asynchronous = True

    def get(self):
        pass


class Subscribed(Ends):
    asynchronous = True

    def get(self):
        self.stream_write("a")
        MessageQueue.instance("on_finish").poll("me", self.on_new_event)

    def on_new_event(self, event):
        self.stream_write(event)
        self.finish()


@pytest.fixture
def app():
    ended.clear()
    logged.clear()
    classes = Ends.__subclasses__()
    return Application(
        [(f"/{cls.__name__}", cls) for cls in classes],
        log_function=lambda handler: logged.append((type(handler).__name__, handler.get_status())),
    )


async def settle():
    for _ in range(10):
        await asyncio.sleep(0.002)


@pytest.mark.parametrize(
    ("name", "status"),
    [("Normal", 200), ("Failed", 403), ("Redirected", 302), ("Later", 200), ("Stream", 200)],
)
@pytest.mark.gen_test
async def test_answered(fetch, name, status):
    """A complete answer."""
    await fetch(f"/{name}")
    await settle()
    assert ended == [name]
    assert logged == [(name, status)]


@pytest.mark.gen_test
async def test_stream_failed(ask):
    """A stream that is cut off by an error."""
    await (await ask("GET /StreamFailed")).read_all()
    await settle()
    assert ended == ["StreamFailed"]
    assert len(logged) == 1


@pytest.mark.parametrize("leave", ["close", "reset", "half_close"])
@pytest.mark.parametrize(
    "name", ["StreamVanished", "PollVanished", "AwaitedPollVanished", "OpenVanished"]
)
@pytest.mark.gen_test
async def test_vanished(ask, name, leave):
    """A client that leaves is noticed immediately."""
    client = await ask(f"GET /{name}")
    if name == "StreamVanished":
        await client.read_until(b"a\r\n")
    else:
        await asyncio.sleep(0.01)
    getattr(client, leave)()
    await until(lambda: logged)
    await settle()
    assert ended == [name]
    assert [line[0] for line in logged] == [name]


@pytest.mark.gen_test
async def test_subscription_ends_with_the_stream(ask):
    """A stream that the handler has ended gets no more events, and its client can resume."""
    mq = MessageQueue.instance("on_finish")
    client = await ask("GET /Subscribed")
    await client.read_until(b"a\r\n")
    mq.publish({"n": 1})
    assert b'{"n":1}' in await client.read_all()
    mq.publish({"n": 2})
    await settle()
    assert ended == ["Subscribed"]
    assert b'{"n":2}' in await (await ask("GET /Subscribed")).read_all()

"""A handler is freed immediately when its request ends, in whatever way: it is in no reference
cycle.

A push server has thousands of handlers, and objects that only the garbage collector frees add up.
"""

import asyncio
import gc
import weakref

import pytest
from support.answers import until

from tatsumaki_py import Application, Error, Handler, MessageQueue

alive = weakref.WeakSet()


class Engine:
    """A template engine without a cycle; `tornado.template` makes one with its arguments."""

    include_path = ()

    def render_file(self, name, args):
        return args["handler"].request.path


class Counted(Handler):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        alive.add(self)


class Plain(Counted):
    def get(self):
        self.response.content_type = "text/plain"
        self.response.cookies["a"] = "b"
        self.write({"a": self.request.parameters.get("a")})


class Coroutine(Counted):
    async def get(self):
        await asyncio.sleep(0)
        await self.finish("a")


class Render(Counted):
    def get(self):
        self.render("page.html", name="you")


class Thrown(Counted):
    def get(self):
        Error.HTTP.throw(403)


class Later(Counted):
    asynchronous = True

    def get(self):
        asyncio.get_running_loop().call_soon(self.async_cb(self.answer))

    def answer(self):
        self.finish("a")


class Open(Counted):
    asynchronous = True

    def get(self):
        self.write("a")
        self.flush()


class Poll(Counted):
    asynchronous = True

    def get(self):
        MessageQueue.instance("cycles").poll_once("me", self.on_new_event)

    def on_new_event(self, *events):
        self.finish(events)


class AwaitedPoll(Counted):
    async def get(self):
        self.write(await MessageQueue.instance("cycles").poll_once("me"))


class Stream(Counted):
    asynchronous = True

    def get(self):
        self.multipart_xhr_push(True)
        MessageQueue.instance("cycles").poll("me", self.on_new_event)

    def on_new_event(self, *events):
        for event in events:
            self.stream_write(event)
            if "end" in event:
                self.finish()


class IteratedStream(Counted):
    async def get(self):
        self.multipart_xhr_push(True)
        async for events in MessageQueue.instance("cycles").poll("me"):
            for event in events:
                await self.stream_write(event)
                if "end" in event:
                    return


class FailingStream(Stream):
    def on_new_event(self, *events):
        self.stream_write("a")
        Error.HTTP.throw(403)


@pytest.fixture
def app():
    alive.clear()
    return Application([(f"/{cls.__name__}", cls) for cls in every(Counted)], template=Engine())


def every(cls):
    for sub in cls.__subclasses__():
        yield sub
        yield from every(sub)


@pytest.fixture(autouse=True)
def without_collector():
    gc.disable()
    yield
    gc.enable()


async def freed():
    await until(lambda: not alive)


@pytest.mark.parametrize("name", ["Plain", "Coroutine", "Render", "Thrown", "Later"])
@pytest.mark.gen_test
async def test_answered(ask, name):
    """A handler that has answered is freed while its connection stays open."""
    client = await ask(f"GET /{name}")
    await client.read_until(b"\r\n\r\n")
    await freed()


@pytest.mark.parametrize("name", ["Poll", "AwaitedPoll"])
@pytest.mark.gen_test
async def test_long_poll_answered(ask, name):
    """A long poll is freed after an event has answered it."""
    client = await ask(f"GET /{name}")
    await until(lambda: alive)
    MessageQueue.instance("cycles").publish({"n": 1})
    await client.read_until(b'[{"n":1}]')
    await freed()


@pytest.mark.parametrize("name", ["Poll", "AwaitedPoll", "Open"])
@pytest.mark.gen_test
async def test_vanished(ask, name):
    """A handler is freed if its client leaves before the answer."""
    client = await ask(f"GET /{name}")
    await until(lambda: alive)
    client.close()
    await freed()


@pytest.mark.parametrize("name", ["Stream", "IteratedStream", "FailingStream"])
@pytest.mark.gen_test
async def test_stream_finished(ask, name):
    """A stream is freed after the handler, or an error, has ended it."""
    client = await ask(f"GET /{name}")
    await client.read_until(b"--")
    await asyncio.sleep(0.01)
    MessageQueue.instance("cycles").publish({"end": 1})
    await client.read_all()
    await freed()


@pytest.mark.parametrize("leave", ["close", "reset"])
@pytest.mark.parametrize("name", ["Stream", "IteratedStream"])
@pytest.mark.gen_test
async def test_stream_vanished(ask, name, leave):
    """A stream is freed if its client leaves after an event, or while nothing is sent."""
    client = await ask(f"GET /{name}")
    await client.read_until(b"--")
    MessageQueue.instance("cycles").publish({"n": 1})
    await client.read_until(b'{"n":1}')
    getattr(client, leave)()
    await freed()


@pytest.mark.parametrize("name", ["Poll", "Stream", "IteratedStream"])
@pytest.mark.gen_test
async def test_superseded(ask, name):
    """A poll is freed if another poll of the same client takes over."""
    first = await ask(f"GET /{name}")
    await until(lambda: alive)
    handler = weakref.ref(next(iter(alive)))
    second = await ask("GET /Poll")
    await first.read_until(b"\r\n\r\n")
    await until(lambda: handler() is None)
    second.close()
    await freed()

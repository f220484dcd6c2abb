"""A handler is freed at once when its request is over, however it ends: no reference cycle.

A server that pushes holds thousands of them; what only the collector finds adds up.
"""

import asyncio
import gc
import weakref

import pytest
from support.answers import until

from tatsumaki_py import Application, Error, Handler, MessageQueue

alive = weakref.WeakSet()


class Engine:
    """tornado.template is a cycle of its own: what it compiles refers to what it is given."""

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
    """While the connection stays open."""
    client = await ask(f"GET /{name}")
    await client.read_until(b"\r\n\r\n")
    await freed()


@pytest.mark.parametrize("name", ["Poll", "AwaitedPoll"])
@pytest.mark.gen_test
async def test_long_poll_answered(ask, name):
    """By an event."""
    client = await ask(f"GET /{name}")
    await until(lambda: alive)
    MessageQueue.instance("cycles").publish({"n": 1})
    await client.read_until(b'[{"n":1}]')
    await freed()


@pytest.mark.parametrize("name", ["Poll", "AwaitedPoll", "Open"])
@pytest.mark.gen_test
async def test_vanished(ask, name):
    """The client left before there was an answer."""
    client = await ask(f"GET /{name}")
    await until(lambda: alive)
    client.close()
    await freed()


@pytest.mark.parametrize("name", ["Stream", "IteratedStream", "FailingStream"])
@pytest.mark.gen_test
async def test_stream_finished(ask, name):
    """The handler ended the stream, or an error did."""
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
    """The client left, after an event and while nothing was sent."""
    client = await ask(f"GET /{name}")
    await client.read_until(b"--")
    MessageQueue.instance("cycles").publish({"n": 1})
    await client.read_until(b'{"n":1}')
    getattr(client, leave)()
    await freed()


@pytest.mark.parametrize("name", ["Poll", "Stream", "IteratedStream"])
@pytest.mark.gen_test
async def test_superseded(ask, name):
    """Another poll of the same client took over."""
    first = await ask(f"GET /{name}")
    await until(lambda: alive)
    handler = weakref.ref(next(iter(alive)))
    second = await ask("GET /Poll")
    await first.read_until(b"\r\n\r\n")
    await until(lambda: handler() is None)
    second.close()
    await freed()

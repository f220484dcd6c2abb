"""A poll in a task that a handler started ends with the request, and the log says so once."""

import asyncio
from functools import partial

import pytest

from tatsumaki_py import Application, Handler, MessageQueue
from tatsumaki_py.at_once import at_once, in_task
from tatsumaki_py.push.stray import stray_task

QUEUE = partial(MessageQueue.instance, "room")


async def work(got):
    async for events in QUEUE().poll("worker"):
        got.extend(events)
    got.append("ended")


class Base(Handler):
    async def get(self):
        self.task = asyncio.create_task(work(self.settings["got"]))
        await asyncio.sleep(0)
        await self.go_on()

    async def go_on(self):
        self.write("started")


def mistaken():
    """Makes a class that the log has not named yet."""
    return type("Mistaken", (Base,), {})


class Cancels(Base):
    async def go_on(self):
        self.task.cancel()


class CancelsLast(Base):
    """Cancels the task after the answer."""

    async def go_on(self):
        try:
            self.finish("done")
        finally:
            self.task.cancel()


class Fails(Base):
    async def go_on(self):
        self.set_status(503)


class Left(Base):
    async def go_on(self):
        self.left = asyncio.Event()
        await self.left.wait()
        self.settings["got"].append("left")

    def on_connection_close(self):
        self.left.set()


class Streams(Base):
    """The task writes to the client."""

    async def go_on(self):
        self.server_sent_events(True)
        await self.stream_write({"n": 1})


class Waits(Handler):
    """Awaits its own poll, and a task that ends in time."""

    async def get(self):
        asyncio.get_running_loop().call_later(0.01, QUEUE().publish, "news")
        await asyncio.gather(self.wait("a"), self.wait("b"))
        poll = QUEUE().poll_once("c", last_event_id=QUEUE().cursor())
        self.finish("done")
        assert await poll == []

    async def wait(self, name):
        return await asyncio.wait_for(QUEUE().poll_once(name), 5)


class Callback(Handler):
    """A timer answers while the method awaits events."""

    async def get(self):
        asyncio.get_running_loop().call_later(0.01, self.finish, "late")
        assert await QUEUE().poll_once("me") == []


class Detached(Handler):
    async def get(self):
        self.application.spawn(work(self.settings["got"]))
        await asyncio.sleep(0)


@pytest.fixture
def got():
    return []


@pytest.fixture
def app(got):
    classes = [Cancels, CancelsLast, Fails, Left, Streams, Waits, Callback, Detached]
    rules = [(f"/{kind.__name__}", kind) for kind in classes]
    return Application([*rules, ("/", mistaken()), ("/again", mistaken())], got=got)


@pytest.mark.gen_test
async def test_warns(fetch, expect_log, got):
    """The warning names the class, the coroutine and the fix. A second request logs nothing."""
    with expect_log("tatsumaki", "A poll ended") as records:
        assert (await fetch("/")).body == b"started"
    await asyncio.sleep(0)
    assert got == ["ended"]
    message = records[0].getMessage()
    assert "Mistaken started work with asyncio.create_task" in message
    assert "app.spawn: GET / " in message
    await fetch("/")
    with expect_log("tatsumaki", "A poll ended"):
        await fetch("/again")


@pytest.mark.parametrize(
    "name", ["Cancels", "CancelsLast", "Fails", "Streams", "Waits", "Callback"]
)
@pytest.mark.gen_test
async def test_quiet(fetch, name):
    """A cancelled task, an error, a stream and awaited polls cause no warning."""
    await fetch(f"/{name}")


@pytest.mark.gen_test
async def test_own_task():
    """The task in which a request continues causes no warning."""
    found = []

    async def work():
        await in_task()
        found.append(stray_task())

    await at_once(work())
    assert found == [None]


@pytest.mark.gen_test
async def test_client_left(http_server, http_port, got):
    """No warning is logged if the client left."""
    _, writer = await asyncio.open_connection("127.0.0.1", http_port)
    writer.write(b"GET /Left HTTP/1.1\r\nHost: x\r\n\r\n")
    while not QUEUE().clients:
        await asyncio.sleep(0.001)
    writer.close()
    await writer.wait_closed()
    while len(got) < 2:
        await asyncio.sleep(0.001)
    assert got == ["ended", "left"]


@pytest.mark.gen_test
async def test_spawn(fetch, app, got):
    """With `app.spawn`, the poll continues."""
    await fetch("/Detached")
    await QUEUE().publish("news")
    await asyncio.sleep(0)
    assert got == ["news"]
    await app.stop()

"""A HEAD request is answered like GET, without the body."""

import asyncio

import pytest
from support.answers import until

from tatsumaki_py import Application, Handler, MessageQueue

ended = []


class Get(Handler):
    def get(self, name):
        self.response.header("X-Name", name)
        self.write("hello ", name)


class Own(Get):
    def head(self, name):
        self.response.header("X-Own", name)


class Override(Get):
    def get(self, name):
        self.write("longer than in the base class")


class NoGet(Handler):
    def post(self, name):
        pass


class LongPoll(Handler):
    asynchronous = True

    def get(self, name):
        MessageQueue.instance("head").poll_once(name, self.on_new_event)

    def on_new_event(self, *events):
        self.finish(events)


class AwaitedPoll(Handler):
    async def get(self, name):
        self.write(await MessageQueue.instance("head").poll_once(name))


class Stream(Handler):
    asynchronous = True

    def get(self, name):
        self.write("a")
        self.stream_write("b")
        self.write("c")
        self.stream_write("d")
        self.flush()
        self.finish("e")

    def on_finish(self):
        ended.append(self.get_status())


class Endless(Handler):
    async def get(self, name):
        try:
            while True:
                await self.stream_write("x")
                await asyncio.sleep(0.001)
        finally:
            ended.append(name)


class Events(Handler):
    async def get(self, name):
        await self.stream_write("x")
        async for events in MessageQueue.instance("head").poll(name):
            self.stream_write(events)
        ended.append(name)


@pytest.fixture
def app():
    ended.clear()
    classes = (Get, Own, Override, NoGet, LongPoll, AwaitedPoll, Stream, Endless, Events)
    return Application([(rf"/{cls.__name__}/(\w+)", cls) for cls in classes])


@pytest.mark.gen_test
async def test_head(fetch):
    """HEAD gets the headers and the length of GET, also in subclasses."""
    for path in ("/Get/you", "/Override/you"):
        get, head = await fetch(path), await fetch(path, method="HEAD")
        assert (head.code, head.body) == (200, b"")
        assert head.headers["Content-Length"] == str(len(get.body))
        for name in ("X-Name", "Etag", "Content-Type"):
            assert head.headers.get(name) == get.headers.get(name)


@pytest.mark.gen_test
async def test_own_head(fetch):
    """A subclass may define `head`."""
    answer = await fetch("/Own/you", method="HEAD")
    assert (answer.headers["X-Own"], answer.headers["Content-Length"]) == ("you", "0")


@pytest.mark.gen_test
async def test_without_get(fetch):
    """A handler without `get` answers HEAD with 405."""
    answer = await fetch("/NoGet/you", method="HEAD")
    assert (answer.code, answer.headers["Allow"]) == (405, "POST")


@pytest.mark.gen_test
async def test_no_body_on_the_wire(ask):
    """No body follows the headers, and the connection can be used for the next request."""
    client = await ask("HEAD /Get/you")
    await client.read_until(b"\r\n\r\n")
    await client.send(b"GET /Get/me HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert (await client.read_all()).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("name", ["LongPoll", "AwaitedPoll", "Stream", "Endless", "Events"])
@pytest.mark.gen_test
async def test_push_answers_at_once(ask, name):
    """Long polls and streams answer HEAD immediately, and leave no client in the queue."""
    client = await ask(f"HEAD /{name}/you", "Connection: close")
    answer = await client.read_all()
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\n")
    assert not MessageQueue.instance("head").clients


@pytest.mark.parametrize("name", ["Stream", "Endless", "Events"])
@pytest.mark.gen_test
async def test_stream_ends(fetch, name):
    """A coroutine that streams ends after HEAD, instead of continuing without a client."""
    await fetch(f"/{name}/you", method="HEAD")
    try:
        await until(lambda: ended)
    finally:
        MessageQueue.instance("head").disconnect()

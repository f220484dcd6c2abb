"""`async_cb` turns an exception of a callback into the answer."""

import asyncio

import pytest

from tatsumaki_py import Application, Error, Handler, MessageQueue


class Callback(Handler):
    asynchronous = True

    def get(self, what):
        callback = self.async_cb(getattr(self, what))
        asyncio.get_running_loop().call_soon(callback, "a", "b")

    def fine(self, *args):
        self.finish(args)

    def die(self, *args):
        self.write("half")
        raise ValueError("in a callback")

    def throw(self, *args):
        Error.HTTP.throw(418, "teapot")

    async def coroutine(self, *args):
        await asyncio.sleep(0)
        Error.HTTP.throw(418, "teapot")

    async def dying_coroutine(self, *args):
        await asyncio.sleep(0)
        raise ValueError("in a callback")

    def late(self, *args):
        self.finish("answered")
        raise ValueError("in a callback")

    def leave(self, *args):
        raise Error.ClientDisconnect

    def cut(self, *args):
        self.stream_write("a")
        raise ValueError("in a callback")


class Result(Handler):
    async def get(self):
        twice = self.async_cb(lambda x, *, y=0: [x, y])
        add = self.async_cb(self.add)
        self.write([twice(1, y=2), await add(3), add.__name__])

    async def add(self, number):
        return number + 1


class Queue(Handler):
    asynchronous = True

    def get(self):
        MessageQueue.instance("async_cb").poll_once("me", self.async_cb(self.on_new_event))

    def on_new_event(self, *events):
        Error.HTTP.throw(409, f"{len(events)} events")


@pytest.fixture
def app():
    return Application([(r"/cb/(\w+)", Callback), ("/result", Result), ("/queue", Queue)])


@pytest.mark.parametrize("what", ["throw", "coroutine"])
@pytest.mark.gen_test
async def test_error_http(fetch, what):
    """An `Error.HTTP` of a callback or a coroutine becomes the answer and is not logged."""
    answer = await fetch(f"/cb/{what}")
    assert (answer.code, answer.body) == (418, b"teapot")


@pytest.mark.parametrize("what", ["die", "dying_coroutine"])
@pytest.mark.gen_test
async def test_exception(fetch, expect_log, what):
    """Any other exception is answered with a plain 500, and its traceback is logged."""
    with expect_log("tornado.application", "Uncaught exception GET /cb/") as records:
        answer = await fetch(f"/cb/{what}")
    assert (answer.code, answer.body) == (500, b"Internal Server Error")
    assert [record.exc_info[0] for record in records] == [ValueError]


@pytest.mark.gen_test
async def test_arguments_and_results(fetch):
    """The wrapper passes on arguments and results, can be awaited, and keeps the name."""
    assert (await fetch("/cb/fine")).body == b'["a","b"]'
    assert (await fetch("/result")).body == b'[[1,2],4,"add"]'


@pytest.mark.gen_test
async def test_after_the_answer(fetch, expect_log):
    """An exception after the answer is only logged."""
    with expect_log("tornado.application", "Uncaught exception"):
        assert (await fetch("/cb/late")).body == b"answered"


@pytest.mark.gen_test
async def test_in_a_stream(ask, expect_log):
    """An exception cuts off a stream, without its last chunk."""
    with expect_log("tornado.application", "Uncaught exception"):
        assert not (await (await ask("GET /cb/cut")).read_all()).endswith(b"0\r\n\r\n")


@pytest.mark.gen_test
async def test_client_disconnect(fetch):
    """`ClientDisconnect` ends the request, and nothing is logged."""
    assert (await fetch("/cb/leave")).code == 200


@pytest.mark.gen_test
async def test_as_callback_of_a_queue(ask):
    """A poll with a wrapped callback ends with its request."""
    client = await ask("GET /queue")
    await asyncio.sleep(0.01)
    MessageQueue.instance("async_cb").publish({"n": 1})
    assert b"409 Conflict" in await client.read_until(b"1 events")
    client = await ask("GET /queue")
    await asyncio.sleep(0.01)
    client.close()
    await asyncio.sleep(0.02)
    MessageQueue.instance("async_cb").publish({"n": 2})

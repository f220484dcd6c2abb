"""`on_connection_close` is called when the client leaves early."""

import asyncio

import pytest
from support.answers import until

from tatsumaki_py import Application, Handler, MessageQueue

left = []


class Leaves(Handler):
    asynchronous = True

    def on_connection_close(self):
        # Without super(), as users write it.
        left.append(self)


class Open(Leaves):
    def get(self):
        self.timer = asyncio.get_running_loop().call_later(0.05, self.late)

    def late(self):
        left.append("late")
        self.write({"late": 1})
        self.flush()
        self.finish()
        self.finish("again")
        self.send_error(500)


class Poll(Leaves):
    def get(self):
        MessageQueue.instance("close").poll_once("me", self.on_new_event)

    def on_new_event(self, *events):
        self.finish(events)


class Stream(Leaves):
    def get(self):
        self.stream_write("a")


class Done(Leaves):
    def get(self):
        self.finish("done")


class Failing(Leaves):
    def get(self):
        MessageQueue.instance("close").poll_once("me", self.finish)

    def on_connection_close(self):
        left.append(self)
        raise ValueError("in on_connection_close")


class Coroutine(Leaves):
    asynchronous = False

    async def get(self):
        while self not in left:
            await asyncio.sleep(0.001)
        self.write("more")
        left.append("ran to its end")


class Initialized(Leaves):
    """Also overrides the other hooks."""

    def initialize(self):
        pass

    def prepare(self):
        pass

    def on_finish(self):
        left.append("on_finish")

    def get(self):
        pass


@pytest.fixture
def app():
    left.clear()
    return Application([(f"/{cls.__name__}", cls) for cls in Leaves.__subclasses__()])


async def leave(ask, name, mark=None):
    client = await ask(f"GET /{name}")
    if mark is None:
        await asyncio.sleep(0.01)
    else:
        await client.read_until(mark)
    client.close()


@pytest.mark.parametrize(("name", "mark"), [("Poll", None), ("Stream", b"a\r\n")])
@pytest.mark.gen_test
async def test_called_once(ask, name, mark):
    """The hook is called once for long polls and streams, and the request ends after it."""
    await leave(ask, name, mark)
    await until(lambda: left)
    await asyncio.sleep(0.02)
    assert [type(handler).__name__ for handler in left] == [name]
    assert left[0]._finished


@pytest.mark.gen_test
async def test_late_callback(ask):
    """A callback that writes after the client has left does nothing, and nothing is logged."""
    await leave(ask, "Open")
    await until(lambda: "late" in left)
    assert len(left) == 2


@pytest.mark.gen_test
async def test_finish_when_gone_before(ask):
    """`on_finish` is called after `on_connection_close`, even if a class overrides all hooks."""
    await leave(ask, "Initialized")
    await until(lambda: "on_finish" in left)
    assert len(left) == 2


@pytest.mark.gen_test
async def test_not_after_an_answer(ask):
    """The hook is not called after an answer, even if the client then closes its connection."""
    client = await ask("GET /Done")
    await client.read_until(b"done")
    await client.send(b"GET /Done HTTP/1.1\r\nHost: x\r\n\r\n")
    await client.read_until(b"done")
    client.close()
    await asyncio.sleep(0.02)
    assert left == []


@pytest.mark.gen_test
async def test_second_request_of_a_connection(ask):
    """On a kept-alive connection, the hook is called for the request that was open."""
    client = await ask("GET /Done")
    await client.read_until(b"done")
    await client.send(b"GET /Poll HTTP/1.1\r\nHost: x\r\n\r\n")
    await asyncio.sleep(0.01)
    client.close()
    await until(lambda: left)
    assert [type(handler).__name__ for handler in left] == ["Poll"]


@pytest.mark.gen_test
async def test_that_raises(ask, expect_log):
    """An exception in the hook is logged, and the request ends nevertheless."""
    with expect_log("tornado.application", "Uncaught exception GET /Failing"):
        await leave(ask, "Failing")
        await until(lambda: left)
    assert left[0]._finished
    assert MessageQueue.instance("close").clients["me"].state != "listening"


@pytest.mark.gen_test
async def test_coroutine_goes_on(ask):
    """The coroutine of the method is not cancelled, and its writes do nothing."""
    await leave(ask, "Coroutine")
    await until(lambda: "ran to its end" in left)
    assert len(left) == 2

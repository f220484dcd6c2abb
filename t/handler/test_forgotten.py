"""If the method of a handler leaves the answer to a callback, but is not `asynchronous`, the error
names the fix.
"""

import pytest
from tornado import gen
from tornado.ioloop import IOLoop

from tatsumaki_py import Application, Handler, MessageQueue


class Forgotten(Handler):
    def get(self):
        self.setup()
        MessageQueue.instance("room").poll_once("me", self.on_new_event)

    post = get

    def setup(self):
        pass

    def on_new_event(self, *events):
        self.write(events)
        self.finish()


class Beside(Forgotten):
    """Writes an answer before the poll has one."""

    def setup(self):
        self.set_status(202)


class Later(Handler):
    def get(self):
        IOLoop.current().call_later(0.01, self.finish, "late")


class Coroutine(Handler):
    @gen.coroutine
    def get(self):
        self.json_lines(True)
        events = yield MessageQueue.instance("room").poll_once("me", timeout=0)
        yield self.stream_write({"events": len(events)})


@pytest.fixture
def app():
    rules = [("/", Forgotten), ("/beside", Beside), ("/later", Later), ("/coroutine", Coroutine)]
    return Application(rules)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.gen_test
async def test_asynchronous(fetch, expect_log, method):
    """Without `asynchronous`, the answer is a 500 instead of an empty body."""
    with expect_log("tornado.application", f"Uncaught exception {method} /") as records:
        answer = await fetch("/", method=method)
    assert (answer.code, answer.body) == (500, b"Internal Server Error")
    error = str(records[0].exc_info[1])
    assert error.startswith(f"Forgotten.{method.lower()}() returned while the callback of a poll")
    assert "set asynchronous = True in Forgotten" in error


@pytest.mark.gen_test
async def test_asynchronous_with_a_timer(fetch, expect_log):
    """If a timer calls `poll_once` later, the log says that `asynchronous` is missing."""
    message = r"finish\(\) in a callback does nothing.*; set asynchronous = True in Later: GET /l"
    with expect_log("tatsumaki", message):
        assert (await fetch("/later")).body == b""
        await gen.sleep(0.05)


@pytest.mark.gen_test
async def test_there_is_an_answer(fetch):
    """A method that gets events immediately, or sets a status, has answered."""
    assert (await fetch("/beside")).code == 202
    MessageQueue.instance("room").publish({"text": "hi"})
    assert (await fetch("/")).body == b'[{"text":"hi"}]'


@pytest.mark.gen_test
async def test_tornado_coroutine(fetch):
    """A method decorated with `tornado.gen.coroutine` may stream, as an `async def` method may."""
    assert (await fetch("/coroutine")).body == b'{"events":0}\n'

"""Calls after the end of an answer do nothing, as in Tatsumaki, and are logged at level DEBUG."""

import asyncio
import logging

import pytest
from support.answers import until

from tatsumaki_py import Application, Handler
from tatsumaki_py.error import ClientDisconnect

gone_on = []


class After(Handler):
    asynchronous = True

    def get(self, call):
        self.finish("once")
        self.go_on(call)

    def post(self, call):
        self.stream_write("on")
        self.finish("ce")
        self.go_on(call)

    def go_on(self, call):
        for _ in range(2):
            getattr(self, call)()
        gone_on.append(call)

    def again(self):
        self.finish("twice")

    def written(self):
        self.write("after")
        self.write({"a": 1})

    def streamed(self):
        self.stream_write("after")

    def flushed(self):
        self.flush()

    def rendered(self):
        self.render("page.html", name="after")

    def redirected(self):
        self.redirect("/after")
        self.response.redirect("/after")


class Sync(After):
    asynchronous = False

    def get(self, call):
        self.render("page.html", name="once") if call == "render" else self.redirect("/once")
        self.finish()
        self.finish("twice")


class Loop(Handler):
    async def get(self):
        await self.finish("once")
        try:
            while True:
                await self.stream_write("after")
        except ClientDisconnect:
            gone_on.append("loop")
            raise


class Gone(Handler):
    asynchronous = True

    def get(self):
        gone_on.append(self)


@pytest.fixture
def app():
    gone_on.clear()
    rules = [(r"/after/(\w+)", After), (r"/sync/(\w+)", Sync), ("/loop", Loop), ("/gone", Gone)]
    return Application(rules)


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.DEBUG, "tatsumaki")

    def lines():
        return [r.getMessage() for r in caplog.records if "after finish" in r.getMessage()]

    return lines


CALLS = {
    "again": "finish()",
    "written": "write()",
    "streamed": "stream_write()",
    "flushed": None,
    "rendered": "render()",
    "redirected": "redirect()",
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.gen_test
async def test_after_finish(fetch, lines, call, method):
    """The first answer is sent, the method continues, and the log gets one line for each request,
    even after a stream.
    """
    answer = await fetch(f"/after/{call}", method=method)
    assert (answer.code, answer.body) == (200, b"once")
    assert gone_on == [call]
    summary = f"after finish() does nothing: {method} /after/{call} (127.0.0.1)"
    assert lines() == ([f"{CALLS[call]} {summary}"] if CALLS[call] else [])


@pytest.mark.gen_test
async def test_render_and_redirect_finish(fetch, lines):
    """`render` and `redirect` finish the answer; finishing it again does nothing in any handler."""
    answer = await fetch("/sync/redirect")
    assert (answer.code, answer.headers["Location"], answer.body) == (302, "/once", b"")
    answer = await fetch("/sync/render")
    assert b"once" in answer.body
    assert len(lines()) == 2


@pytest.mark.gen_test
async def test_a_loop_ends(fetch):
    """A coroutine that awaits `stream_write` in an endless loop ends."""
    assert (await fetch("/loop")).body == b"once"
    await until(lambda: gone_on == ["loop"])


@pytest.mark.gen_test
async def test_client_that_left(ask, lines):
    """Nothing is logged if the client left, because the handler could not know that."""
    client = await ask("GET /gone")
    await until(lambda: gone_on)
    client.close()
    (handler,) = gone_on
    await until(lambda: handler._peer_left())
    handler.write("a")
    handler.finish()
    await asyncio.sleep(0)
    assert lines() == []

"""Calls that raise an exception, though they did not in Perl; the guide lists them."""

import asyncio
import io
from http.cookies import CookieError
from random import random

import pytest

from tatsumaki_py import Application, Error, Handler, HTTPClient, MessageQueue


def queue():
    return MessageQueue.instance("room")


def header(handler, name, value):
    handler.response.header(name, value)


def cookie(handler, value):
    handler.response.cookies["x"] = value


def body(handler, value):
    handler.response.body = value


def binary(handler):
    handler.binary = True
    handler.write("\u2603")


def anything(handler):
    queue().anything = 1


async def thread(handler):
    queue().poll("me", print)
    await asyncio.get_running_loop().run_in_executor(None, queue().disconnect)


async def begun(handler):
    await handler.stream_write("a")
    handler.redirect("/")


CALLS = {
    "object": (lambda handler: handler.write(object()), TypeError),
    "set": (lambda handler: handler.write({1}), TypeError),
    "bool": (lambda handler: handler.write(True), TypeError),
    "infinity": (lambda handler: handler.write([float("inf")]), ValueError),
    "binary": (binary, UnicodeEncodeError),
    "line end": (lambda handler: header(handler, "X-A", "a\n"), ValueError),
    "header name": (lambda handler: header(handler, "X A", "a"), ValueError),
    "cookie": (lambda handler: cookie(handler, "a b"), ValueError),
    "cookie path": (lambda handler: cookie(handler, {"path": "/;"}), CookieError),
    "body": (lambda handler: body(handler, {"a": 1}), TypeError),
    "file": (lambda handler: body(handler, io.BytesIO(b"a")), TypeError),
    "parameter": (lambda handler: handler.request.parameters["x"], Error.HTTP),
    "template": (lambda handler: handler.render("../x"), ValueError),
    "status": (lambda handler: Error.HTTP.throw(999999), ValueError),
    "redirect": (begun, Exception),
    "event": (lambda handler: queue().publish({"a": object()}), TypeError),
    "event of bytes": (lambda handler: queue().publish(b"text"), TypeError),
    "nan": (lambda handler: queue().publish(float("nan")), ValueError),
    "gap": (lambda handler: queue().publish({"type": "gap"}), ValueError),
    "end": (lambda handler: queue().publish({"type": "end"}), ValueError),
    "thread": (thread, RuntimeError),
    "queue": (lambda handler: MessageQueue("x"), TypeError),
    "no name": (lambda handler: MessageQueue.instance(None), TypeError),
    "float name": (lambda handler: MessageQueue.instance(1.5), TypeError),
    "setting": (anything, AttributeError),
    "float id": (lambda handler: queue().poll_once(random(), print), TypeError),
    "timeout as text": (lambda handler: queue().poll_once("a", print, "2"), TypeError),
    "rule": (lambda handler: Application(["/", Handler]), TypeError),
    "timeout": (lambda handler: queue().poll_once("a", print, -1), ValueError),
    "client": (lambda handler: HTTPClient().get("/", headers={"X": "\n"}), ValueError),
    "form": (lambda handler: HTTPClient().post("/", {"a": None}), ValueError),
}


class Call(Handler):
    async def get(self):
        call, kind = CALLS[self.request.param("call")]
        with pytest.raises(kind):
            await self.run(call)
        self.write("raised")

    async def run(self, call):
        result = call(self)
        if asyncio.iscoroutine(result):
            await result


@pytest.fixture
def app():
    return Application([("/", Call)])


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.gen_test
async def test_raises(fetch, call):
    """Each call raises the exception that the guide names."""
    answer = await fetch(f"/?call={call.replace(' ', '+')}")
    assert answer.body.endswith(b"raised")

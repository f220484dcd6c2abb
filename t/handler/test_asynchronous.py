"""Answers that come after the method has returned."""

import asyncio

import pytest

from tatsumaki_py import Application, Handler


def later(callback, *args):
    asyncio.get_running_loop().call_soon(callback, *args)


class Asynchronous(Handler):
    asynchronous = True

    def get(self):
        self.write("a")
        later(self.finish, "b")


class Inherited(Asynchronous):
    pass


class Nonblocking(Handler):
    nonblocking = True

    def get(self):
        later(self.finish, [self.asynchronous, self.nonblocking])


class SyncAgain(Nonblocking):
    asynchronous = False

    def get(self):
        self.write([self.asynchronous, self.nonblocking])


class Coroutine(Handler):
    async def get(self):
        await asyncio.sleep(0)
        self.write("finished by itself")


class AsynchronousCoroutine(Handler):
    asynchronous = True

    async def get(self):
        await asyncio.sleep(0)
        self.write("not finished by itself, ")
        later(self.finish, "but later")


class Decided(Handler):
    def initialize(self):
        self.asynchronous = True

    def get(self):
        later(self.finish, "for this request")


class Mixed:
    asynchronous = True


class Mixin(Mixed, Handler):
    def get(self):
        later(self.finish, "from a mixin")


@pytest.fixture
def app():
    classes = [value for value in globals().values() if isinstance(value, type)]
    return Application([(f"/{cls.__name__}", cls) for cls in classes])


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("Asynchronous", b"ab"),
        ("Inherited", b"ab"),
        ("Nonblocking", b"[true,true]"),
        ("SyncAgain", b"[false,false]"),
        ("Coroutine", b"finished by itself"),
        ("AsynchronousCoroutine", b"not finished by itself, but later"),
        ("Decided", b"for this request"),
        ("Mixin", b"from a mixin"),
    ],
)
@pytest.mark.gen_test
async def test_answer_comes_later(fetch, name, body):
    """With `asynchronous`, only `finish` ends the answer. Subclasses inherit it, and `nonblocking`
    is another name for it.
    """
    answer = await fetch(f"/{name}")
    assert (answer.code, answer.body) == (200, body)
    assert answer.headers["Content-Length"] == str(len(body))


@pytest.mark.gen_test
async def test_keep_alive(ask):
    """After a late answer, the connection can be used for the next request."""
    client = await ask("GET /Asynchronous")
    assert await client.read_until(b"\r\n\r\nab")
    await client.send(b"GET /Coroutine HTTP/1.1\r\nHost: x\r\n\r\n")
    assert await client.read_until(b"finished by itself")


@pytest.mark.gen_test
async def test_pipelined(ask):
    """Two pipelined requests are answered in order."""
    client = await ask("GET /Asynchronous", "", "GET /Coroutine HTTP/1.1", "Host: x")
    assert await client.read_until(b"\r\n\r\nab")
    assert await client.read_until(b"finished by itself")

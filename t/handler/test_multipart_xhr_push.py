"""Multipart streams have exactly the bytes that the original's `DUI.Stream` reads."""

import re

import pytest
import tornado.web

from tatsumaki_py import Application, Handler, MessageQueue


class Push(Handler):
    asynchronous = True

    def get(self):
        assert self.mxhr is False
        assert self.multipart_xhr_push() is False
        self.response.header("X-Mine", "1")
        assert self.multipart_xhr_push(True) is True
        assert self.multipart_xhr_push() is self.mxhr is True
        self.stream_write({"a": "caf\u00e9"})
        self.stream_write([1])
        self.stream_write("text")
        self.finish({"b": 2})


class Written(Handler):
    asynchronous = True

    def get(self):
        self.multipart_xhr_push(True)
        self.write({"a": 1}, "b")
        self.flush()
        self.finish()


class Coroutine(Handler):
    async def get(self):
        self.multipart_xhr_push(True)
        await self.stream_write({"a": 1})


class Sync(Handler):
    def get(self):
        getattr(self, self.request.param("call"))(True)


class Decorated(Handler):
    @tornado.web.authenticated
    async def get(self):
        await Coroutine.get(self)

    def get_current_user(self):
        return "me"


class Twice(Handler):
    asynchronous = True

    def get(self):
        self.stream_write("a")
        self.multipart_xhr_push(True)


class Events(Handler):
    asynchronous = True

    def get(self):
        self.multipart_xhr_push(True)
        MessageQueue.instance("events").poll("me", self.on_new_event)

    def on_new_event(self, *events):
        for event in events:
            self.stream_write(event)
        self.finish()


@pytest.fixture
def app():
    classes = (Push, Written, Coroutine, Decorated, Sync, Twice, Events)
    return Application([(f"/{cls.__name__}", cls) for cls in classes])


async def parts(ask, path, *headers):
    """Returns the parts of an answer, each with the boundary that follows it."""
    client = await ask(f"GET {path} HTTP/1.0", *headers)
    head, _, body = (await client.read_all()).partition(b"\r\n\r\n")
    boundary = re.search(rb'Content-Type: multipart/mixed; boundary="(\w+)"\r\n', head)[1]
    delimiter = b"--" + boundary + b"\n"
    assert body.startswith(delimiter)
    assert body.endswith(delimiter)
    return head, body.split(delimiter)[1:-1]


@pytest.mark.gen_test
async def test_parts(ask):
    """A part is its type, an empty line, the body and the next boundary. Lines end with LF."""
    head, got = await parts(ask, "/Push")
    assert b"X-Mine: 1" in head
    assert got == [
        'Content-Type: application/json\n\n{"a":"caf\u00e9"}\n'.encode(),
        b"Content-Type: application/json\n\n[1]\n",
        b"Content-Type: text/plain; charset=UTF-8\n\ntext\n",
        b'Content-Type: application/json\n\n{"b":2}\n',
    ]


@pytest.mark.gen_test
async def test_written(ask):
    """Text that `write` writes is also a part."""
    assert (await parts(ask, "/Written"))[1] == [
        b'Content-Type: application/json\n\n{"a":1}\n',
        b"Content-Type: text/plain; charset=UTF-8\n\nb\n",
    ]


@pytest.mark.gen_test
async def test_coroutine(ask):
    """A coroutine, even a decorated one, needs no `asynchronous`."""
    for path in ("/Coroutine", "/Decorated"):
        assert (await parts(ask, path))[1] == [b'Content-Type: application/json\n\n{"a":1}\n']


@pytest.mark.gen_test
async def test_ids(ask):
    """Only clients that send `last_event_id` get ids."""
    mq = MessageQueue.instance("events")
    (id,) = await mq.publish({"n": 1})
    plain = b'Content-Type: application/json\n\n{"n":1}\n'
    assert (await parts(ask, "/Events"))[1] == [plain]
    await mq.publish({"n": 1})
    (last,) = (await parts(ask, "/Events?last_event_id=" + id))[1]
    assert re.fullmatch(
        rb'Content-Type: application/json\nLast-Event-ID: [\d-]+\n\n{"n":1}\n', last
    )


@pytest.mark.gen_test
async def test_head(fetch):
    """HEAD gets the headers of the stream immediately, also from a coroutine."""
    for path in ("/Push", "/Coroutine", "/Events"):
        answer = await fetch(path, method="HEAD")
        assert (answer.code, answer.body) == (200, b"")
        assert answer.headers["Content-Type"].startswith("multipart/mixed; boundary=")


@pytest.mark.parametrize("call", ["multipart_xhr_push", "server_sent_events", "json_lines"])
@pytest.mark.gen_test
async def test_sync(fetch, expect_log, call):
    """A handler that is not `asynchronous` cannot push: the error names the call and the fix."""
    with expect_log("tornado.application", "Uncaught exception") as records:
        assert (await fetch(f"/Sync?call={call}")).code == 500
    assert str(records[0].exc_info[1]) == (
        f"{call}(True) needs an answer that stays open: set asynchronous = True in Sync, "
        "or write async def get"
    )


@pytest.mark.gen_test
async def test_not_in_a_stream(ask, expect_log):
    """A stream that has begun cannot become a multipart stream, and the error says so."""
    with expect_log("tornado.application", "Uncaught exception") as records:
        await (await ask("GET /Twice")).read_all()
    assert records[0].exc_info[0] is RuntimeError

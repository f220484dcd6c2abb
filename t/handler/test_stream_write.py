"""`stream_write` sends immediately and keeps the answer open."""

import asyncio
import time

import pytest
from support.answers import until
from tornado.httpclient import HTTPRequest

from tatsumaki_py import Application, Error, Handler

handlers = []


class Order(Handler):
    asynchronous = True

    def get(self):
        self.response.content_type = "text/plain"
        self.write("W1")
        self.stream_write("S1")
        self.write("W2")
        self.stream_write("S2")
        self.finish("F")


class Times(Handler):
    asynchronous = True

    def get(self):
        handlers.append(self)
        self.response.content_type = "text/plain"
        self.left = 3
        self.tick()

    def tick(self):
        self.stream_write(f"{time.time():.0f}\n")
        self.left -= 1
        if self.left:
            asyncio.get_running_loop().call_later(1, self.async_cb(self.tick))
        else:
            self.finish()


class Coroutine(Handler):
    async def get(self):
        for number in range(3):
            await self.stream_write(number)
            await self.flush()
        self.write("end")


class Sync(Handler):
    def get(self):
        self.stream_write("a")


class Values(Handler):
    asynchronous = True

    def get(self):
        for chunk in ({"a": 1}, [2], b"\xff", "", 3):
            self.stream_write(chunk)
        self.finish([4])


class Several(Handler):
    asynchronous = True

    def get(self):
        self.stream_write("a", "b", 1)
        self.write()
        self.write(None)
        self.stream_write(None)
        self.stream_write()
        self.write("c", "d")
        self.stream_write({"e": 1}, None, [2])
        self.finish(None)


class Parts(Handler):
    asynchronous = True

    def get(self):
        self.multipart_xhr_push(True)
        self.stream_write({"a": 1}, "b", [2])
        self.finish()


class Upper(Several):
    def get_chunk(self, *chunks):
        return b"<" + super().get_chunk(*chunks).upper() + b">"


class AfterFlush(Handler):
    size = 0

    async def get(self):
        self.write("A" * (self.size or 1))
        self.flush()
        await self.stream_write("B")


class BigFlush(AfterFlush):
    size = 20_000_000


class Mistake(Handler):
    asynchronous = True

    def get(self, what):
        if what == "early":
            self.stream_write(object())
        self.stream_write("a")
        if what == "late":
            self.stream_write(object())
        Error.HTTP.throw(404, "too late")


class Big(Handler):
    async def get(self):
        for _ in range(40):
            await self.stream_write(b"x" * 500_000)


@pytest.fixture
def app():
    handlers.clear()
    return Application(
        [
            (r"/mistake/(\w+)", Mistake),
            *((f"/{cls.__name__}", cls) for cls in (Order, Times, Coroutine, Sync, Values)),
            *((f"/{cls.__name__}", cls) for cls in (AfterFlush, BigFlush, Big)),
            *((f"/{cls.__name__}", cls) for cls in (Several, Parts, Upper)),
        ]
    )


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("Order", b"W1S1W2S2F"),
        ("Coroutine", b"012end"),
        ("Sync", b"a"),
        ("Values", b'{"a":1}[2]\xff3[4]'),
        ("AfterFlush", b"AB"),
        ("Several", b'ab1cd{"e":1}[2]'),
        ("Upper", b'<AB1><CD><{"E":1}[2]>'),
    ],
)
@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.gen_test
async def test_body(ask, name, body, version):
    """The writes arrive in order, in chunks or (HTTP/1.0) until the connection ends. The connection
    is closed at the end.
    """
    client = await ask(f"GET /{name} HTTP/{version}", "Connection: keep-alive")
    head, _, rest = (await client.read_all()).partition(b"\r\n\r\n")
    assert b"Transfer-Encoding: chunked" in head if version == "1.1" else b"chunked" not in head
    # Tornado's flush() had sent this head before the handler began to stream.
    assert name == "AfterFlush" or b"Keep-Alive" not in head
    if version == "1.1":
        assert rest.endswith(b"0\r\n\r\n")
        rest = unchunk(rest)
    assert rest == body


def unchunk(data):
    body = b""
    while data != b"0\r\n\r\n":
        size, _, data = data.partition(b"\r\n")
        body += data[: int(size, 16)]
        assert data[int(size, 16) :][:2] == b"\r\n"
        data = data[int(size, 16) + 2 :]
    return body


@pytest.mark.gen_test
async def test_headers(fetch):
    """A stream has `Cache-Control: no-store`, and keeps the handler's own headers."""
    headers = (await fetch("/Order")).headers
    assert headers["Content-Type"] == "text/plain"
    assert headers["Cache-Control"] == "no-store, no-transform"
    assert headers["X-Accel-Buffering"] == "no"
    assert headers["Connection"] == "close"


@pytest.mark.gen_test
async def test_json_type(fetch):
    """A stream that begins with JSON has its content type."""
    assert (await fetch("/Values")).headers["Content-Type"] == "application/json"


@pytest.mark.gen_test
async def test_several_parts(fetch):
    """In a stream of messages, each argument is a message."""
    answer = await fetch("/Parts")
    boundary = answer.headers["Content-Type"].partition('"')[2].rstrip('"').encode()
    parts = answer.body.split(b"--" + boundary + b"\n")
    assert [part.partition(b"\n\n")[2] for part in parts[1:-1]] == [b'{"a":1}\n', b"b\n", b"[2]\n"]


@pytest.mark.gen_test
async def test_ordinary_client(fetch):
    """Tornado's client reads a stream."""
    assert (await fetch("/Order")).body == b"W1S1W2S2F"


@pytest.mark.gen_test
async def test_stream_of_times(clock, http_server, http_client, base_url):
    """Each line arrives as soon as it is written."""
    got = []
    request = HTTPRequest(f"{base_url}/Times", streaming_callback=got.append, request_timeout=0)
    answer = asyncio.ensure_future(http_client.fetch(request))
    for number in (1, 2, 3):
        await until(lambda number=number: len(got) == number)
        await clock.advance(1)
    assert (await answer).code == 200
    assert all(float(line) > 0 for line in b"".join(got).splitlines())


@pytest.mark.gen_test
async def test_a_lot(fetch):
    """A handler that awaits each write can send more than the buffer holds."""
    answer = await fetch("/Big", request_timeout=20)
    assert len(answer.body) == 20_000_000


@pytest.mark.gen_test
async def test_a_lot_before(ask):
    """Data that `flush()` has not sent yet arrives before the streamed data."""
    client = await ask("GET /BigFlush HTTP/1.0")
    await asyncio.sleep(0.05)
    body = (await client.read_all()).partition(b"\r\n\r\n")[2]
    assert len(body) == 20_000_001
    assert body.rstrip(b"B") + b"B" == body


@pytest.mark.gen_test
async def test_mistakes(ask, expect_log):
    """An error before the first write is answered with 500. A later one cuts off the stream,
    without its last chunk.
    """
    for what in ("early", "late"):
        with expect_log("tornado.application", f"Uncaught exception GET /mistake/{what}") as lines:
            answer = await (await ask(f"GET /mistake/{what}", "Connection: close")).read_all()
        assert isinstance(lines[0].exc_info[1], TypeError)
        assert (b"HTTP/1.1 500" in answer) == (what == "early")
        assert not answer.endswith(b"0\r\n\r\n")
    answer = await (await ask("GET /mistake/thrown")).read_all()
    assert b"too late" not in answer
    assert not answer.endswith(b"0\r\n\r\n")

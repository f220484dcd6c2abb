"""After the client has left, nothing that a handler writes or raises is logged as an error."""

import asyncio

import pytest
from support.answers import until
from tornado.iostream import StreamClosedError
from tornado.tcpclient import TCPClient
from tornado.tcpserver import TCPServer

from tatsumaki_py import Application, Error, Handler

said = []


class Gone(Handler):
    asynchronous = True

    def get(self, what):
        if what.startswith("stream"):
            self.stream_write("a")

    def on_connection_close(self):
        asyncio.get_running_loop().call_soon(self.async_cb(self.late), self.path_args[0])

    async def late(self, what):
        said.append(what)
        if what.endswith("stream_write"):
            with pytest.raises(Error.ClientDisconnect):
                self.stream_write("b")
            self.stream_write("b")
        elif what.endswith("render"):
            await self.render("page.html", {"name": "you"})
        elif what == "push":
            assert self.server_sent_events(True)
        elif what == "redirect":
            self.redirect("/elsewhere")
        elif what == "send_error":
            self.send_error(500)
        elif what == "throw":
            Error.HTTP.throw(400)
        else:
            self.write("b")
            await self.flush()
            await self.finish("c")
        said.append("quiet")


class Flushing(Handler):
    async def get(self):
        while True:
            self.write("x" * 10_000)
            await self.flush()
            await asyncio.sleep(0.001)


class Backend(Handler):
    async def get(self):
        stream = await TCPClient().connect("127.0.0.1", self.settings["backend"]())
        await stream.read_until(b"\n")


@pytest.fixture
def backend(io_loop):
    class Closes(TCPServer):
        async def handle_stream(self, stream, address):
            stream.close()

    server = Closes()
    server.listen(0, "127.0.0.1")
    yield lambda: next(iter(server._sockets.values())).getsockname()[1]
    server.stop()


@pytest.fixture
def app(backend):
    said.clear()
    return Application(
        [(r"/gone/(\w+)", Gone), ("/flushing", Flushing), ("/backend", Backend)], backend=backend
    )


@pytest.mark.parametrize(
    "what",
    ["write", "stream", "render", "stream_render", "redirect", "push", "send_error", "throw"],
)
@pytest.mark.gen_test
async def test_quiet(ask, what):
    """Every way to answer does nothing after the client has left, and nothing is logged."""
    client = await ask(f"GET /gone/{what}")
    await asyncio.sleep(0.01)
    client.close()
    await until(lambda: said)
    await asyncio.sleep(0.01)
    assert said == ([what] if what == "throw" else [what, "quiet"])


@pytest.mark.parametrize("what", ["stream_write", "_stream_write"])
@pytest.mark.gen_test
async def test_stream_write(ask, what):
    """`stream_write` raises `ClientDisconnect`, even as the first call, and it is not logged."""
    client = await ask(f"GET /gone/{what}")
    await asyncio.sleep(0.01)
    client.close()
    await until(lambda: said)
    await asyncio.sleep(0.01)
    assert said == [what]


@pytest.mark.gen_test
async def test_flush(ask):
    """A coroutine that awaits `flush()` ends, and nothing is logged."""
    client = await ask("GET /flushing")
    await client.read_until(b"xxx")
    client.reset()
    await asyncio.sleep(0.05)


@pytest.mark.gen_test
async def test_connection_of_somebody_else(fetch, expect_log):
    """If a connection to another server closes, the handler's exception is logged."""
    with expect_log("tornado.application", "Uncaught exception GET /backend") as records:
        assert (await fetch("/backend")).code == 500
    assert records[0].exc_info[0] is StreamClosedError

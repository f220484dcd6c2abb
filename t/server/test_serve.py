"""`Server.serve` in a running event loop: cancelled, called twice, and mistaken for `run`."""

import asyncio
import contextlib
import signal

import pytest

from tatsumaki_py import Application, Handler, Server
from tatsumaki_py.testing import Connection


class Hello(Handler):
    async def get(self):
        await asyncio.sleep(0.02)
        self.write("hello")


@pytest.fixture
def said():
    return []


@pytest.fixture
def make_app(said):
    def make_app():
        app = Application([("/", Hello)], log_function=lambda handler: None)
        app.on_stop(lambda: said.append("stopped"))
        return app

    return make_app


@contextlib.asynccontextmanager
async def serving(app):
    """Runs a server, and yields it with its task."""
    server = Server("127.0.0.1", 0)
    task = asyncio.create_task(server.serve(app))
    while not server.listening.is_set():
        await asyncio.sleep(0.001)
    yield server, task
    server.stop()
    await asyncio.wait([task])


@pytest.mark.gen_test
async def test_cancelled(make_app, said, capsys):
    """A cancelled `serve` stops cleanly: the request is answered, and the application stops."""
    async with serving(make_app()) as (server, task):
        client = await Connection.connect(server.port)
        await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await client.read_all()).endswith(b"hello")
        client.close()
    assert said == ["stopped"]


@pytest.mark.gen_test
async def test_cancelled_while_it_starts(make_app, said):
    """If `serve` is cancelled before the server listens, the application also stops."""
    app = make_app()
    app.on_start(asyncio.Event().wait)
    task = asyncio.create_task(Server("127.0.0.1", 0).serve(app))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert said == ["stopped"]
    # The first start has ended, otherwise another one could not begin.
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(app.start(), 0.01)


@pytest.mark.gen_test
async def test_mistakes(make_app, capsys):
    """A server serves one application at a time, and `run` needs a thread without a running loop.
    These mistakes do not harm the server that is running.
    """
    mistaken = Server("127.0.0.1", 0, nonsense=1)
    for _ in range(2):
        with pytest.raises(TypeError, match="nonsense"):
            await mistaken.serve(make_app())
    async with serving(make_app()) as (server, task):
        with pytest.raises(RuntimeError, match="this server is already running"):
            await server.serve(make_app())
        with pytest.raises(RuntimeError, match="this server is already running"):
            await asyncio.to_thread(server.run, make_app())
        with pytest.raises(RuntimeError, match=r"use await server\.serve\(app\)"):
            Server("127.0.0.1", 0).run(make_app())
        client = await Connection.connect(server.port)
        await client.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert (await client.read_all()).endswith(b"hello")
        client.close()
        assert not task.done()


@pytest.mark.gen_test
async def test_a_signal_stops_all(make_app, said, capsys):
    """A signal stops all servers of the process, even after one of them has already stopped."""
    async with serving(make_app()) as (_, first), serving(make_app()) as (_, second):
        async with serving(make_app()):
            pass
        assert said == ["stopped"]
        signal.raise_signal(signal.SIGTERM)
        await asyncio.wait([first, second])
    assert said == ["stopped"] * 3
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL

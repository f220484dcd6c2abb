"""Fixtures with a handler whose stream the test writes to itself, and with its clients."""

import asyncio
import ssl

import pytest
from support.pushing import Awaiting, Pushing, Reading, Subscribing
from support.wire import raw_small, sends, small_buffers, soon  # noqa: F401
from tornado.httpserver import HTTPServer
from tornado.testing import AsyncHTTPSTestCase

from tatsumaki_py import Application, MessageQueue


@pytest.fixture
def made():
    """The handlers, in the order of their requests."""
    return []


@pytest.fixture
def app(made):
    rules = {"/": Pushing, "/room": Subscribing, "/step": Awaiting, "/log": Reading}
    return Application([(path, handler, {"made": made}) for path, handler in rules.items()])


@pytest.fixture
def queue():
    """The queue of the channel "room"."""
    return MessageQueue.instance("room")


@pytest.fixture
def get(http_server, http_port, raw, made):
    """`client, handler = await get("/")` returns when the handler has been made."""

    async def get(path="/", version="HTTP/1.1", connect=raw):
        before = len(made)
        client = await connect(http_port)
        await client.send(f"GET {path} {version}\r\nHost: localhost\r\n\r\n".encode())
        await soon(lambda: len(made) > before)
        # The handler's method runs in this iteration of the loop.
        await asyncio.sleep(0)
        return client, made[-1]

    return get


@pytest.fixture
def get_tls(io_loop, app, made, _unused_port):
    """`get` over TLS; it returns an asyncio reader and writer instead of a client."""
    server = HTTPServer(app, ssl_options=AsyncHTTPSTestCase.default_ssl_options())
    server.add_socket(_unused_port[0])
    writers = []

    async def get(path="/", version="HTTP/1.1"):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        before = len(made)
        reader, writer = await asyncio.open_connection("127.0.0.1", _unused_port[1], ssl=context)
        writers.append(writer)
        writer.write(f"GET {path} {version}\r\nHost: localhost\r\n\r\n".encode())
        await soon(lambda: len(made) > before)
        await asyncio.sleep(0)
        return reader, writer, made[-1]

    yield get

    async def close():
        for writer in writers:
            writer.close()
        await asyncio.sleep(0.01)
        server.stop()
        await server.close_all_connections()

    io_loop.run_sync(close)

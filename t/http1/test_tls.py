"""HTTP over TLS."""

import asyncio
import ssl

import pytest
from support.wire import soon
from tornado.escape import json_decode
from tornado.httpclient import HTTPRequest
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketHandler, websocket_connect

LARGE = 3_000_000


class Who(RequestHandler):
    def get(self):
        request = self.request
        certificate = request.get_ssl_certificate()
        binary = request.get_ssl_certificate(binary_form=True)
        subject = certificate and dict(pair for (pair,) in certificate["subject"])
        self.write({"who": [request.protocol, subject, binary and len(binary) > 100]})


class Echo(RequestHandler):
    def post(self):
        self.write(self.request.body)


class EchoSocket(WebSocketHandler):
    def on_message(self, message):
        self.write_message(message)


@pytest.fixture
def app():
    return Application(
        [("/", Who), ("/echo", Echo), ("/socket", EchoSocket)], websocket_max_message_size=LARGE * 2
    )


@pytest.fixture
def server_options(certificate):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(**certificate)
    context.load_verify_locations(certificate["certfile"])
    context.verify_mode = ssl.CERT_OPTIONAL
    return {"ssl_options": context}


@pytest.fixture
def connect(http_server, http_port, trusting):
    """Connects with an asyncio stream."""

    async def connect():
        return await asyncio.open_connection("127.0.0.1", http_port, ssl=trusting)

    return connect


async def ask(connection, line, body=b""):
    """Sends a request, and returns the body of the answer, whose status must be 200."""
    reader, writer = connection
    head = f"{line} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200 ")
    fields = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    (length,) = (field.split(": ")[1] for field in fields if field.startswith("Content-Length"))
    return await reader.readexactly(int(length))


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.gen_test
async def test_certificate(connect, certificate, trusting, known):
    """`get_ssl_certificate` returns the certificate of the client, or None."""
    if known:
        trusting.load_cert_chain(**certificate)
    connection = await connect()
    who = json_decode(await ask(connection, "GET /"))["who"]
    assert who == (["https", {"commonName": "foo.example.com"}, True] if known else who)
    assert known or who == ["https", None, None]
    connection[1].close()


@pytest.mark.gen_test
async def test_large(connect):
    """Large bodies arrive in both directions."""
    connection = await connect()
    body = bytes(range(256)) * (LARGE // 256)
    for _ in range(2):
        assert await ask(connection, "POST /echo", body) == body
    connection[1].close()


@pytest.mark.gen_test
async def test_two_records_at_once(connect):
    """Bytes that TLS has decrypted beyond a request are read, although none wait in the socket."""
    reader, writer = await connect()
    for _ in range(20):
        writer.write(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n")
        writer.write(b"a")
    for _ in range(20):
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(1) == b"a"
    writer.close()


@pytest.mark.gen_test
async def test_websocket(http_port, http_server):
    url = f"wss://127.0.0.1:{http_port}/socket"
    socket = await websocket_connect(
        HTTPRequest(url, validate_cert=False), max_message_size=LARGE * 2
    )
    for message in ("hello", "x" * LARGE):
        await socket.write_message(message)
        assert await socket.read_message() == message
    socket.close()
    assert await socket.read_message() is None


@pytest.mark.gen_test
async def test_the_client_leaves(connect, app):
    """The server notices that the client leaves while it waits for an answer."""
    left = []

    class Waiting(RequestHandler):
        async def get(self):
            left.append("waits")
            self.left = asyncio.get_running_loop().create_future()
            await self.left

        def on_connection_close(self):
            left.append("left")
            self.left.set_result(None)

    app.add_handlers(".*", [("/waiting", Waiting)])
    _, writer = await connect()
    writer.write(b"GET /waiting HTTP/1.1\r\nHost: x\r\n\r\n")
    await soon(lambda: left)
    writer.close()
    await soon(lambda: left == ["waits", "left"])

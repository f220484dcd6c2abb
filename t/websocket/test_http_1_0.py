"""A WebSocket handshake in HTTP/1.0 is refused."""

import pytest
import tornado.web
import tornado.websocket
from support.wire import read_head, read_reply

from tatsumaki_py import Application, SubscribeHandler, WebSocketHandler

OURS = {"/ours": WebSocketHandler, "/events/(.*)": SubscribeHandler}


class Plain(tornado.websocket.WebSocketHandler):
    pass


@pytest.fixture(params=[Application, tornado.web.Application])
def app(request):
    # In an application of Tornado's, Tornado answers.
    rules = OURS | ({"/plain": Plain} if request.param is Application else {})
    return request.param(list(rules.items()), xsrf_cookies=True)


@pytest.fixture
def handshake(http_server, http_port, raw):
    """`reply = await handshake("/path", "1.0")` sends a handshake and reads the answer."""

    async def send(path, version):
        client = await raw(http_port)
        lines = [
            f"GET {path} HTTP/{version}",
            "Host: x",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        ]
        await client.send("\r\n".join([*lines, "", ""]).encode())
        return await (read_reply if version == "1.0" else read_head)(client)

    return send


@pytest.mark.gen_test
async def test_refused(app, handshake):
    """The answer is a 400 that says which HTTP version is needed; with HTTP/1.1 it is accepted."""
    paths = ["/ours", "/events/room", *(["/plain"] if isinstance(app, Application) else [])]
    for path in paths:
        reply = await handshake(path, "1.0")
        assert (reply.status, reply.body[:26]) == (400, b"A WebSocket needs HTTP/1.1")
        assert (await handshake(path, "1.1")).status == 101

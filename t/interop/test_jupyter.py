"""An extension of Jupyter Server can combine our base classes with Jupyter's in either order."""

import json

import pytest
from support.program import ROOT
from support.subscriber import CLIENTS
from support.wire import read_reply

pytest.importorskip("jupyter_server")

TOKEN = {"Authorization": "token secret"}
ORDERS = ["Ours", "Theirs"]


@pytest.fixture(scope="module")
def jupyter(serve_programs):
    program = serve_programs(ROOT / "t/interop/jupyter_program.py")
    yield program
    program.stop()
    assert "[E " not in program.stderr, program.stderr


@pytest.fixture
def ask_jupyter(jupyter, raw):
    """`reply = await ask_jupyter("GET", "/path", {"Header": "value"}, b"body")` sends a request."""

    async def ask(method, path, headers=TOKEN, body=b""):
        client = await raw(jupyter.port)
        fields = {"Host": f"127.0.0.1:{jupyter.port}", "Content-Length": len(body)} | headers
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {fields[name]}" for name in fields)]
        await client.send("\r\n".join([*lines, "", ""]).encode() + body)
        return await read_reply(client, method)

    return ask


@pytest.fixture
def publish(ask_jupyter):
    async def publish(order, channel, event, headers=TOKEN):
        headers = headers | {"Content-Type": "application/json"}
        path = f"/{order}Publish/{channel}"
        return await ask_jupyter("POST", path, headers, json.dumps(event).encode())

    return publish


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("transport", CLIENTS)
@pytest.mark.gen_test
async def test_events(jupyter, publish, raw, order, transport):
    """A client with a token gets published events over every transport."""
    channel = f"{order}-{transport}"
    path = f"/{order}/{channel}"
    client = CLIENTS[transport](
        jupyter.port, path, connect=raw, headers=TOKEN, client_id="me", timeout=5
    )
    await publish(order, channel, {"n": 0})
    await client.start()
    assert await client.take(1) == [{"n": 0}]
    for number in range(1, 4):
        assert (await publish(order, channel, {"n": number})).status == 200
    assert await client.take(3) == [{"n": 1}, {"n": 2}, {"n": 3}]
    client.close()


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("transport", CLIENTS)
@pytest.mark.gen_test
async def test_without_a_token(jupyter, publish, raw, order, transport):
    """Jupyter sends a client without a token to the login page, before it subscribes."""
    client = CLIENTS[transport](jupyter.port, f"/{order}/room", connect=raw)
    await client.request()
    reply = await read_reply(client.connection)
    assert (reply.status, reply.headers["location"][:7]) == (302, "/login?")
    assert (await publish(order, "room", {}, {})).status == 403
    # A request from a page sends a cookie, and also needs Jupyter's XSRF token.
    assert (await publish(order, "room", {}, {"Cookie": "_xsrf=a"})).status == 403


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.gen_test
async def test_origins_of_websockets(jupyter, ask_jupyter, raw, order):
    """Jupyter's `check_origin` decides: any origin may connect with a token, only its own with a
    cookie.
    """
    reply = await ask_jupyter("GET", "/Settings")
    cookie = {"Cookie": reply.headers["set-cookie"].split(";")[0]}
    own = f"http://127.0.0.1:{jupyter.port}"
    for headers, origin, status in (
        (TOKEN, "https://evil.example", 101),
        (cookie, "https://evil.example", 403),
        (cookie, own, 101),
    ):
        headers = headers | {"Origin": origin}
        client = CLIENTS["websocket"](jupyter.port, f"/{order}/room", connect=raw, headers=headers)
        assert (await client.open()).status == status
        client.close()


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.gen_test
async def test_refused(ask_jupyter, order):
    """`can_subscribe` can use Jupyter's user, and the refusal has Jupyter's headers."""
    reply = await ask_jupyter("GET", f"/{order}/closed?transport=sse")
    assert reply.status == 403
    assert "frame-ancestors" in reply.headers["content-security-policy"]
    # The first of the two classes decides what an error looks like.
    assert reply.headers["content-type"].startswith(
        "text/plain" if order == "Ours" else "text/html"
    )


@pytest.mark.gen_test
async def test_names_of_both(ask_jupyter, jupyter):
    """Jupyter's names can be used; `log` is called like ours and is also Jupyter's logger."""
    reply = await ask_jupyter("GET", "/Settings")
    assert json.loads(reply.body) == {"base": "/", "logger": "ServerApp", "in": True}
    assert "ServerApp] asked by " in jupyter.stderr


@pytest.mark.gen_test
async def test_decorated(ask_jupyter):
    """A coroutine that Jupyter or Tornado has decorated can push."""
    reply = await ask_jupyter("GET", "/Authenticated")
    assert b'data: {"a":1}' in reply.body


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.gen_test
async def test_api(ask_jupyter, order):
    """An `APIHandler`, which has its own `finish`, can be combined with `Handler`."""
    reply = await ask_jupyter("GET", f"/{order}API")
    assert (reply.body, reply.headers["content-type"]) == (b"[1,2]", "application/json")
    assert "default-src 'none'" in reply.headers["content-security-policy"]


@pytest.mark.gen_test
async def test_websocket_handler(jupyter, publish, raw):
    """A `WebSocketHandler` can be combined with Jupyter's mixin."""
    client = CLIENTS["websocket"](jupyter.port, "/Socket/sockets", connect=raw, headers=TOKEN)
    assert (await client.open()).status == 101
    await publish("Ours", "sockets", {"n": 1})
    assert await client.take(1) == [{"n": 1}]
    client.close()
    client.headers.clear()
    assert (await client.open()).status == 403

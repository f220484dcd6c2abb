"""Channels among the patterns of a Bokeh server."""

import asyncio
import re

import pytest
from support.program import ROOT
from support.subscriber import CLIENTS
from support.wire import read_reply

pytest.importorskip("bokeh")


@pytest.fixture(scope="module")
def bokeh(serve_programs):
    return serve_programs(ROOT / "t/interop/bokeh_program.py")


@pytest.fixture
def ask_bokeh(bokeh, raw):
    async def ask(method, path, body=b""):
        client = await raw(bokeh.port)
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
        await client.send(f"{head}Content-Type: application/json\r\n\r\n".encode() + body)
        return await read_reply(client)

    return ask


@pytest.mark.parametrize("transport", CLIENTS)
@pytest.mark.gen_test
async def test_events(bokeh, ask_bokeh, raw, transport):
    """Every transport, beside Bokeh's own pages."""
    path = f"/events/{transport}"
    client = CLIENTS[transport](bokeh.port, path, connect=raw, client_id="me", timeout=5)
    await ask_bokeh("POST", f"/publish/{transport}", b'{"n": 0}')
    await client.start()
    assert await client.take(1) == [{"n": 0}]
    await ask_bokeh("POST", f"/publish/{transport}", b'{"n": 1}')
    assert await client.take(1) == [{"n": 1}]
    client.close()


@pytest.mark.gen_test
async def test_sessions(bokeh, ask_bokeh, raw):
    """A function that makes a Bokeh page publishes."""
    client = CLIENTS["sse"](bokeh.port, "/events/sessions", connect=raw)
    await client.start()
    page = await ask_bokeh("GET", "/page")
    assert page.status == 200
    (event,) = await asyncio.wait_for(client.take(1), 5)
    assert re.fullmatch(r"\w{44}", event["session"])
    client.close()

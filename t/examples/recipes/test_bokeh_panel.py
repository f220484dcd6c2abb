"""Channels in the same server as a Bokeh document and a Panel app."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.bokeh_session import BokehSession
from support.excerpts import assert_excerpts
from support.program import ROOT, free_port
from support.recipe import ask

from tatsumaki_py.testing import Subscriber, until

FOLDER = ROOT / "examples/recipes/bokeh_panel"
TRANSPORTS = ["sse", "websocket", "ndjson", "multipart", "long-poll", "interval-poll"]


@pytest.fixture(scope="module")
def bokeh(serve_programs):
    pytest.importorskip("bokeh")
    return serve_programs(FOLDER / "bokeh_app.py").url


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.gen_test
async def test_events(bokeh, transport):
    """A client gets events on every transport from the server that also serves Bokeh pages."""

    async def publish(number):
        body = json.dumps({"n": number})
        url = f"{bokeh}publish/{transport}"
        assert (await ask(url, "POST", body, Content_Type="application/json")).code == 200

    await publish(0)
    async with Subscriber(f"{bokeh}events/{transport}", transport, client_id="me") as client:
        assert await client.take(1) == [{"n": 0}]
        await publish(1)
        assert await client.take(1) == [{"n": 1}]


@pytest.mark.gen_test
async def test_sessions(bokeh):
    """The function that makes a Bokeh page publishes an event about each session."""
    async with Subscriber(f"{bokeh}events/sessions") as client:
        assert (await ask(f"{bokeh}page")).code == 200
        (event,) = await client.take(1)
        assert re.fullmatch(r"\w{44}", event["session"])


async def check_page(url, page, pane):
    """Fails unless a text from a page reaches a subscriber, and a posted text reaches each page."""
    expected = [{"text": "by Ann"}, {"nothing": "1"}, {"text": "from outside"}]
    async with (
        Subscriber(f"{url}events/chat", "sse") as client,
        BokehSession(f"{url}{page}") as ann,
        BokehSession(f"{url}{page}") as bob,
    ):
        await ann.change("TextInput", "value", "by Ann")
        assert await client.take(1) == expected[:1]
        await bob.until_changed(pane, "text", "by Ann")
        client.close()
        # An event without a text does not end the poll of a page.
        for body in ("nothing=1", "text=from+outside"):
            assert (await ask(f"{url}publish/chat", "POST", body)).code == 200
        for session in (ann, bob):
            await session.until_changed(pane, "text", "from outside")
        await client.reconnect("websocket")
        await client.assert_delivered(expected, allow_gap=False)


@pytest.mark.gen_test
async def test_bokeh_page(bokeh):
    """A Bokeh document, whose callbacks run in the event loop, exchanges texts."""
    await check_page(bokeh, "page", "PreText")


@pytest.mark.gen_test
async def test_panel_page(serve_program):
    """A Panel page, whose callbacks run in threads, exchanges texts."""
    pytest.importorskip("panel")
    await check_page(serve_program(FOLDER / "panel_app.py").url, "page", "HTML")


@pytest.mark.gen_test
async def test_panel_command(popen, tmp_path):
    """The Panel page exchanges texts if Panel's command serves it, with the routes as a plugin."""
    pytest.importorskip("panel")
    url = f"http://127.0.0.1:{free_port()}/"
    panel = Path(sys.executable).with_name("panel")
    popen(
        panel,
        *("serve", "panel_app.py", "--plugins", "live_routes"),
        *("--address", "127.0.0.1", "--port", url.rpartition(":")[2].strip("/")),
        cwd=FOLDER,
        stdout=subprocess.DEVNULL,
    )
    await until(lambda: "running at" in (tmp_path / "log").read_text(), 15)
    await check_page(url, "panel_app", "HTML")


@pytest.mark.gen_test
async def test_forged(bokeh):
    """Pages from other origins cannot publish."""
    reply = await ask(f"{bokeh}publish/chat", "POST", "text=x", Origin="https://evil.example")
    assert reply.code == 403


def test_page():
    """The page shows the programs."""
    names = ("live_routes", "bokeh_app", "panel_app")
    assert_excerpts("docs/recipes/bokeh-panel.md", *(FOLDER / f"{name}.py" for name in names))

"""The library websockets, which reconnects automatically."""

import json

import pytest
from support.lossy import misses_nothing
from websockets.asyncio.client import connect
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed


async def subscribe(url):
    headers = Headers()
    url = url.replace("http", "ws", 1)
    async for connection in connect(url, additional_headers=headers, max_size=2**21, proxy=None):
        try:
            async for text in connection:
                message = json.loads(text)
                # Setting the header would add a second one.
                headers.pop("Last-Event-ID", None)
                headers["Last-Event-ID"] = message["id"]
                if "data" in message:
                    yield message["data"]
        except ConnectionClosed:
            pass


@pytest.mark.gen_test
async def test_misses_nothing(queue, proxy, url, monkeypatch):
    """The client gets all events once and in order, though its connection is cut."""
    monkeypatch.setattr("websockets.client.BACKOFF_INITIAL_DELAY", 0.05)
    await misses_nothing(queue, proxy, subscribe(url))
    assert proxy.accepted >= 3

"""httpx-sse, with the loop that its documentation shows."""

import asyncio
import json

import httpx
import pytest
from httpx_sse import aconnect_sse
from support.lossy import misses_nothing


async def subscribe(url):
    cursor = ""
    async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
        while True:
            headers = {"Last-Event-ID": cursor} if cursor else {}
            try:
                async with aconnect_sse(client, "GET", url, headers=headers) as source:
                    async for event in source.aiter_sse():
                        cursor = event.id
                        if event.event == "message":
                            yield json.loads(event.data)
            except httpx.TransportError:
                await asyncio.sleep(0.01)


@pytest.mark.gen_test
async def test_misses_nothing(queue, proxy, url):
    """All events once and in order, though the connection is cut."""
    await misses_nothing(queue, proxy, subscribe(url))
    assert proxy.accepted >= 3

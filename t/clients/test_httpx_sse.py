"""httpx-sse, in the loop that its documentation shows."""

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
    """The client gets all events once and in order, though its connection is cut."""
    await misses_nothing(queue, proxy, subscribe(url))
    assert proxy.accepted >= 3


@pytest.mark.parametrize("transport", ["sse", "ndjson"])
@pytest.mark.gen_test
async def test_line_separators(queue, url, transport):
    """An event with Unicode line separators is one line, even as Python splits lines."""
    text = "a\u2028b\u2029c\x85d\x0b\x0c\x1c\x1d\x1ee"
    queue.publish({"text": text})
    async with (
        httpx.AsyncClient(trust_env=False) as client,
        client.stream("GET", url, params={"transport": transport}) as answer,
    ):
        async for line in answer.aiter_lines():
            if '"text"' in line:
                event = json.loads(line.removeprefix("data: "))
                assert event.get("data", event) == {"text": text}
                break
    # The abandoned iterators of httpx end in separate tasks.
    await asyncio.sleep(0.01)

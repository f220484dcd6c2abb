"""How clients handle a stream without events for a while."""

import asyncio
import json

import httpx
import pytest
from httpx_sse import aconnect_sse

from tatsumaki_py import Application, MessageQueue, SubscribeHandler


class Lively(SubscribeHandler):
    heartbeat_interval = 0.1


@pytest.fixture
def app():
    return Application([(r"/events/([\w.-]+)", Lively)])


async def publish_late(queue):
    await asyncio.sleep(0.8)
    queue.publish({"n": 1})


@pytest.mark.gen_test
async def test_httpx_sse(queue, url):
    """httpx-sse does not pass on heartbeats as messages."""
    late = asyncio.ensure_future(publish_late(queue))
    seen = []
    async with (
        httpx.AsyncClient(trust_env=False) as client,
        aconnect_sse(client, "GET", url) as source,
    ):
        async for event in source.aiter_sse():
            seen.append((event.event, json.loads(event.data)))
            if event.event == "message":
                break
    await late
    # The abandoned iterators of httpx end in separate tasks.
    await asyncio.sleep(0.01)
    assert [type_ for type_, _ in seen] == ["cursor", "message"]
    assert seen[1][1] == {"n": 1}


@pytest.mark.gen_test
async def test_lines_of_json(queue, url):
    """Each heartbeat of a stream of JSON lines is a line with the cursor."""
    before = MessageQueue.instance("room").cursor()
    late = asyncio.ensure_future(publish_late(queue))
    seen = []
    async with (
        httpx.AsyncClient(trust_env=False) as client,
        client.stream("GET", url, params={"transport": "ndjson"}) as answer,
    ):
        async for line in answer.aiter_lines():
            seen.append(json.loads(line))
            if "data" in seen[-1]:
                break
    await late
    # The abandoned iterators of httpx end in separate tasks.
    await asyncio.sleep(0.01)
    assert len(seen) >= 2
    assert seen == [{"id": before}] * (len(seen) - 1) + [{"id": queue.cursor(), "data": {"n": 1}}]

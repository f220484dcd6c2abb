"""aiohttp, with each transport that it can read."""

import asyncio
import json

import aiohttp
import pytest
from support.lossy import misses_nothing

SIZE = 2**21


async def resuming(url, read):
    """Calls `read(session, url, cursor)` again and again, and yields the data that it gives."""
    cursor = ""
    async with aiohttp.ClientSession(read_bufsize=SIZE) as session:
        while True:
            try:
                async for id, data in read(session, url, cursor):
                    cursor = id or cursor
                    if data is not None:
                        yield data
            except aiohttp.ClientError:
                await asyncio.sleep(0.01)


def headers(accept, cursor):
    return {"Accept": accept, **({"Last-Event-ID": cursor} if cursor else {})}


async def sse(session, url, cursor):
    id, type_, data = "", "message", []
    async with session.get(url, headers=headers("text/event-stream", cursor)) as answer:
        assert answer.content_type == "text/event-stream"
        async for line in answer.content:
            name, _, value = line.rstrip(b"\n").decode().partition(": ")
            if name == "id":
                id = value
            elif name == "event":
                type_ = value
            elif name == "data":
                data.append(value)
            elif not line.strip():
                yield id, json.loads("\n".join(data)) if type_ == "message" else None
                type_, data = "message", []


async def ndjson(session, url, cursor):
    async with session.get(url, headers=headers("application/x-ndjson", cursor)) as answer:
        yield answer.headers["Last-Event-ID"], None
        async for line in answer.content:
            if line.endswith(b"\n"):
                message = json.loads(line)
                yield message["id"], message.get("data")


async def long_poll(session, url, cursor):
    async with session.get(url, headers=headers("application/json", cursor)) as answer:
        events = await answer.json()
        for event in events[:-1]:
            yield "", event
        yield answer.headers["Last-Event-ID"], events[-1] if events else None


async def websocket(session, url, cursor):
    asked = {"Last-Event-ID": cursor} if cursor else {}
    async with session.ws_connect(url, headers=asked, max_msg_size=SIZE) as connection:
        async for message in connection:
            message = message.json()
            yield message["id"], message.get("data")


@pytest.mark.parametrize("read", [sse, ndjson, long_poll, websocket])
@pytest.mark.gen_test
async def test_misses_nothing(queue, proxy, url, read):
    """The client gets all events once and in order, though its connection is cut."""
    await misses_nothing(queue, proxy, resuming(url, read))
    assert proxy.accepted >= 3

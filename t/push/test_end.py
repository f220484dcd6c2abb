"""The end of a channel finishes a stream to which a callback writes the events."""

import asyncio

import pytest
from support.wire import read_reply, soon

END = {"type": "end"}


@pytest.mark.gen_test
async def test_a_slow_reader(get, raw_small, small_buffers, queue):
    """A stream is finished when its client has received everything, not before."""
    client, handler = await get("/room?id=ann&buffer=1000000", connect=raw_small)
    for n in range(20):
        queue.publish({"n": n, "text": "x" * 20_000})
    await queue.end()
    await asyncio.sleep(0.05)
    assert (handler.finished, queue.subscribers) == (0, 1)
    body = (await read_reply(client)).body
    assert body.count(b'"n":') == 20
    assert b'{"type":"end"}' in body
    await soon(lambda: handler.finished and not queue.subscribers)


@pytest.mark.gen_test
async def test_it_leaves(get, raw_small, small_buffers, queue):
    """A client that leaves before it has received everything gets the rest when it returns."""
    client, handler = await get("/room?id=ann&buffer=1000000", connect=raw_small)
    for n in range(20):
        queue.publish({"n": n, "text": "x" * 20_000})
    await queue.end()
    await asyncio.sleep(0.05)
    client.close()
    await soon(lambda: handler.finished)
    events = await queue.poll_once("ann")
    assert (len(events) > 1, events[-1]) == (True, END)

"""A client that invents channels and names does not affect other clients."""

import asyncio

import pytest
from support.wire import read_reply

from tatsumaki_py import MessageQueue

JSON = "Content-Type: application/json"


@pytest.mark.gen_test
async def test_invented_channels(server, monkeypatch):
    """After polls of ten times `max_channels`, clients can still publish to other channels."""
    monkeypatch.setattr(MessageQueue, "max_channels", 200)
    monkeypatch.setattr(MessageQueue, "max_clients", 1000)
    client = await server.connect(b"")
    for number in range(100):
        names = "&".join(f"channel=c{number}.{n}" for n in range(20))
        line = f"GET /events?transport=interval-poll&client_id=x&{names} HTTP/1.1"
        await client.send(f"{line}\r\nHost: x\r\n\r\n".encode())
        reply = await asyncio.wait_for(read_reply(client), 5)
        assert reply.status == 200
    for number in range(50):
        assert (await server.post(f"/publish/room{number}", b'{"n":1}', JSON)).status == 200
        reply = await server.get(f"/events/room{number}?timeout=0&client_id=y")
        assert (reply.status, reply.body) == (200, b'[{"n":1}]')
    assert MessageQueue._registry.clients <= 1000
    client.close()
    await server.is_well()

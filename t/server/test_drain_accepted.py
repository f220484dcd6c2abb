"""If a server stops while events are published without a pause, no accepted event is lost."""

import asyncio
import itertools
import json

import pytest
from support.subscriber import CLIENTS, STREAMS, read_to_end
from support.wire import read_reply

from tatsumaki_py.testing import Connection

PUBLISHERS = 6
STREAMS_OF_EACH = 50


async def publish(port, number, accepted, refused):
    """Publishes one event after another until the server refuses connections."""
    client = None
    for count in itertools.count():
        try:
            client = client or await Connection.connect(port)
            body = json.dumps(f"{number}-{count}")
            head = "Host: x\r\nContent-Type: application/json"
            length = f"Content-Length: {len(body)}"
            await client.send(
                f"POST /publish/room HTTP/1.1\r\n{head}\r\n{length}\r\n\r\n{body}".encode()
            )
            reply = await read_reply(client)
        except ConnectionRefusedError:
            return
        except (EOFError, ConnectionError):
            # The server closed the idle connection at the same moment: the event may not be
            # accepted.
            client.close()
            client = None
            continue
        if reply.status == 200:
            accepted.add(json.loads(body))
        else:
            refused.append((reply.status, reply.headers["retry-after"]))
        if reply.headers.get("connection") == "close":
            client.close()
            client = None


@pytest.mark.gen_test(timeout=30)
async def test_all_are_received(serve_program):
    """All streams get all accepted events in the same order. The delays of the clients differ."""
    program = serve_program("t/server/draining.py")
    clients = [CLIENTS[name](program.port) for name in STREAMS for _ in range(STREAMS_OF_EACH)]
    poll = CLIENTS["long-poll"](program.port, "/events/hall")
    try:
        for client in clients:
            await client.start()
        waiting = asyncio.ensure_future(poll.open())
        reading = [asyncio.ensure_future(read_to_end(client)) for client in clients]
        accepted, refused = set(), []
        publishers = [
            asyncio.ensure_future(publish(program.port, number, accepted, refused))
            for number in range(PUBLISHERS)
        ]
        while len(accepted) < 200:
            await asyncio.sleep(0.01)
        program.signal()
        received = await asyncio.gather(*reading)
        await asyncio.gather(*publishers)
        assert await asyncio.to_thread(program.wait) == 0
        assert (await waiting).status == 200
        assert poll.unread == []
    finally:
        for client in [*clients, poll]:
            client.close()
    for events in received:
        assert accepted <= set(events)
        assert events == received[0]
    assert len(received[0]) == len(set(received[0]))
    assert set(refused) <= {(503, "1")}
    retries = sorted(client.retry for client in clients if client.retry is not None)
    assert len(retries) == STREAMS_OF_EACH * 3
    assert 500 <= retries[0] < 520
    # The long poll counts as a client.
    assert 680 < retries[-1] <= 701
    assert "cut" not in program.stderr

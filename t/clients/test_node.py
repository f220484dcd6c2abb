"""The packages `eventsource` and `ws` from npm."""

import json
from pathlib import Path

import pytest
from support.lossy import misses_nothing
from support.outside import find_program, node_environment, running

PROGRAM = Path(__file__).parent / "node/subscribe.js"


@pytest.fixture
def subscribe():
    """`subscribe(client, url)` gives what the program prints, line by line."""
    node, environment = find_program("node", "nodejs npm"), node_environment()

    async def subscribe(client, url):
        async with running(node, PROGRAM, client, url, env=environment) as process:
            async for line in process.stdout:
                yield json.loads(line)

    return subscribe


@pytest.mark.parametrize("client", ["eventsource", "ws"])
@pytest.mark.gen_test
async def test_misses_nothing(queue, proxy, url, subscribe, client):
    """All events once and in order, though the connection is cut."""
    await misses_nothing(queue, proxy, subscribe(client, url))
    assert proxy.accepted >= 3


@pytest.mark.parametrize("client", ["eventsource", "ws"])
@pytest.mark.gen_test
async def test_regular_end(queue, proxy, url, subscribe, client):
    """It comes back after the server has ended the stream, and has what was published meanwhile."""
    events = subscribe(client, url)
    queue.publish({"n": 1})
    assert await anext(events) == {"n": 1}
    queue.disconnect()
    queue.publish({"n": 2})
    assert await anext(events) == {"n": 2}
    await events.aclose()

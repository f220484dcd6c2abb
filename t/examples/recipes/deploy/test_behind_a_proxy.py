"""The program restarts behind each proxy of the recipe: no event is lost or repeated."""

import asyncio
import random

import pytest
from support.chaos.publisher import Publisher
from support.follower import Follower
from support.subscriber import CLIENTS

# The statuses with which the proxies answer clients that do not accept SSE in the meantime.
STATUSES = {"nginx": {502}, "haproxy": set(), "caddy": set(), "apache": {503}}


@pytest.mark.parametrize("proxy", STATUSES)
@pytest.mark.gen_test
async def test_a_restart(run_recipe, http_server, proxy):
    """Clients on all transports get each event of a publisher once, in order."""
    port = run_recipe(proxy, http_server.port, patient=True)
    publisher = Publisher("a", port, "room", random.Random(1), rate=100)
    await publisher.publish([{"p": "a", "n": 0}])
    publisher.count = 1
    start = publisher.accepted["a", 0]
    clients = [Follower(port, [name], cursor=start).follow() for name in CLIENTS]
    publishing = asyncio.ensure_future(publisher.run())
    for client in clients:
        await client.until(lambda client: len(client.seen) > 3)
    await asyncio.to_thread(http_server.restart)
    before = publisher.count
    await client.until(lambda _: publisher.count > before + 3)
    publisher.over = True
    await publishing
    for client in clients:
        await client.until(lambda client: client.seen[-1:] == [publisher.count - 1])
        await client.aclose()
        assert client.seen == [*range(1, publisher.count)]
        assert {head.status for head in client.refusals} == STATUSES[proxy]

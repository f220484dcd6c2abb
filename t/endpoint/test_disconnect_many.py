"""The many connections of one user end in several turns of the loop."""

import asyncio

import pytest
from support.wire import read_reply, soon

from tatsumaki_py import Application, SubscribeHandler
from tatsumaki_py.endpoint import groups
from tatsumaki_py.endpoint.groups import GROUPS

MANY = 8


class Events(SubscribeHandler):
    broken = False

    def group(self):
        return "ann"

    def log_exception(self, *args):
        if self.broken:
            raise ZeroDivisionError
        super().log_exception(*args)

    def on_finish(self):
        if self.broken:
            raise ZeroDivisionError


class Waiting(Events):
    """`can_subscribe` waits until the test gives the answer."""

    last = None

    async def can_subscribe(self, channel):
        Waiting.last = self
        self.may = asyncio.get_running_loop().create_future()
        return await self.may


@pytest.fixture
def app(monkeypatch):
    monkeypatch.setattr(groups, "AT_ONCE", 3)
    # End one connection per turn.
    monkeypatch.setattr(groups, "TURN", 0.0)
    Events.broken = False
    yield Application([(r"/events/(\w+)", Events), (r"/waiting/(\w+)", Waiting)])
    Waiting.last = None


@pytest.fixture
def many(subscriber, queue):
    """`clients = await many("sse")` returns `MANY` subscribers."""

    async def many(transport):
        clients = [subscriber(transport, path="/events/room") for _ in range(MANY)]
        for client in clients:
            await client.request()
        await soon(lambda: queue.subscribers == MANY)
        return clients

    return many


@pytest.mark.parametrize("transport", ["sse", "websocket", "long-poll"])
@pytest.mark.gen_test
async def test_in_turns(many, queue, transport):
    """The first connections end immediately, the others in turns of the loop; each counts once."""
    clients = await many(transport)
    assert Events.disconnect("ann") == MANY
    assert Events.disconnect("ann") == 0
    left = [queue.subscribers]
    while queue.subscribers:
        await asyncio.sleep(0)
        left.append(queue.subscribers)
    assert left == [*range(MANY - 3, -1, -1)]
    for client in clients:
        client.close()
    await soon(lambda: len(GROUPS) == 0)


@pytest.mark.gen_test
async def test_a_client_that_leaves_before_its_turn(many, queue):
    """The server does not try to end a client that leaves before its turn."""
    clients = await many("sse")
    Events.disconnect("ann")
    for client in clients:
        client.close()
    await soon(lambda: len(GROUPS) == 0)
    assert not queue.subscribers


@pytest.mark.gen_test
async def test_no_other_comes_meanwhile(many, subscriber, queue):
    """A request that waits for `can_subscribe` is refused before its turn has come."""
    await many("sse")
    client = subscriber("sse", path="/waiting/room")
    await client.request()
    handler = await soon(lambda: Waiting.last)
    assert Events.disconnect("ann") == MANY + 1
    handler.may.set_result(True)
    assert (await read_reply(client.connection)).status == 403
    await soon(lambda: not queue.subscribers)


@pytest.mark.gen_test
async def test_one_that_fails(many, queue, expect_log):
    """If ending a connection fails, the error is logged, and the other connections still end."""
    await many("sse")
    Events.broken = True
    with expect_log("tatsumaki", "a connection could not be ended") as records:
        assert Events.disconnect("ann") == MANY
        await soon(lambda: not queue.subscribers)
    assert len(records) == MANY

"""With `recheck_time`, `can_subscribe` is called again for open streams and polls."""

import asyncio
import weakref

import pytest
import tornado.web
from support.wire import iterations, read_reply, soon

from tatsumaki_py import Application, Error, SubscribeHandler
from tatsumaki_py.endpoint import recheck
from tatsumaki_py.endpoint.recheck import Recheck
from tatsumaki_py.push.wheel import Wheel
from tatsumaki_py.testing import Ended

LASTING = ["sse", "ndjson", "multipart", "websocket", "long-poll"]


class Events(SubscribeHandler):
    """A handler that returns the answer that the test sets."""

    recheck_time = 60.0
    poll_timeout = 1000.0
    answer = True
    asked = 0
    last = None

    def can_subscribe(self, channel):
        Events.asked += 1
        Events.last = weakref.ref(self)
        if isinstance(Events.answer, Exception):
            raise Events.answer
        return Events.answer


class Later(Events):
    async def can_subscribe(self, channel):
        await asyncio.sleep(0)
        return super().can_subscribe(channel)


class Counting(Events):
    """A handler that counts how many checks run at the same time."""

    running = most = 0

    async def can_subscribe(self, channel):
        Counting.running += 1
        Counting.most = max(Counting.most, Counting.running)
        await asyncio.sleep(0)
        Counting.running -= 1
        return super().can_subscribe(channel)


class Never(Events):
    """A handler whose second check hangs."""

    async def can_subscribe(self, channel):
        super().can_subscribe(channel)
        if Events.asked > 1:
            await asyncio.get_running_loop().create_future()
        return True


class Waiting(Events):
    """A handler whose second check waits for the test."""

    may = None

    def group(self):
        return "ann"

    async def can_subscribe(self, channel):
        super().can_subscribe(channel)
        if Events.asked > 1:
            Waiting.may = asyncio.get_running_loop().create_future()
            return await Waiting.may
        return True


class Stubborn(Never):
    """A handler whose second check does not end when it is cancelled."""

    async def can_subscribe(self, channel):
        try:
            return await super().can_subscribe(channel)
        except asyncio.CancelledError:
            Events.stuck = asyncio.get_running_loop().create_future()
            await Events.stuck


@pytest.fixture
def app():
    Events.answer, Events.asked, Events.stuck, Waiting.may = True, 0, None, None
    kinds = [Events, Later, Counting, Never, Waiting, Stubborn]
    return Application([(rf"/{kind.__name__.lower()}/([\w.-]+)", kind) for kind in kinds])


@pytest.fixture
def open_one(subscriber, queue):
    """`client = await open_one(transport)` returns a subscriber that has been checked."""

    async def open_one(transport, kind="events", **options):
        client = subscriber(transport, path=f"/{kind}/room", **options)
        count = queue.subscribers
        await client.request()
        await soon(lambda: queue.subscribers == count + 1)
        return client

    return open_one


async def end_of(client):
    """Return how the connection ended: the code of a WebSocket, or the answer."""
    async with asyncio.timeout(5):
        if client.transport != "websocket":
            reply = await read_reply(client.connection)
            return reply.status, reply.body if client.transport == "long-poll" else b""
        await client.answer()
        try:
            while True:
                await client.step()
        except Ended as ended:
            return ended.args[0], b""


@pytest.mark.parametrize("kind", ["events", "later"])
@pytest.mark.parametrize("transport", LASTING)
@pytest.mark.gen_test
async def test_until_it_is_refused(open_one, clock, transport, kind):
    """While the answer is True, nothing happens; a False ends the connection as
    `disconnect` does.
    """
    client = await open_one(transport, kind)
    for times in (1, 2, 3):
        assert Events.asked == times
        await clock.advance(61)
        await soon(lambda times=times: Events.asked == times + 1)
    Events.answer = False
    await clock.advance(61)
    expected = {"websocket": (4403, b""), "long-poll": (403, b"Forbidden")}
    assert await end_of(client) == expected.get(transport, (200, b""))


@pytest.mark.parametrize("transport", ["websocket", "long-poll", "sse"])
@pytest.mark.parametrize("error", [Error.HTTP(401, "log in"), tornado.web.HTTPError(401)])
@pytest.mark.gen_test
async def test_own_answer(open_one, clock, transport, error):
    """The client gets the error that the hook raises."""
    client = await open_one(transport)
    Events.answer = error
    await clock.advance(61)
    message = b"log in" if isinstance(error, Error.HTTP) else b"Unauthorized"
    expected = {"websocket": (4401, b""), "long-poll": (401, message), "sse": (200, b"")}
    assert await end_of(client) == expected[transport]


@pytest.mark.parametrize("transport", LASTING)
@pytest.mark.gen_test
async def test_a_check_that_fails(open_one, clock, expect_log, transport):
    """An exception in a check is logged, and the client must reconnect."""
    client = await open_one(transport)
    Events.answer = ZeroDivisionError("no database")
    with expect_log("tornado.application", "Uncaught exception") as records:
        await clock.advance(61)
        expected = {"websocket": (1013, b""), "long-poll": (503, b"Service Unavailable")}
        assert await end_of(client) == expected.get(transport, (200, b""))
    assert len(records) == 1
    assert isinstance(records[0].exc_info[1], ZeroDivisionError)


@pytest.mark.parametrize("kind", ["never", "stubborn"])
@pytest.mark.gen_test
async def test_a_check_that_hangs(open_one, clock, expect_log, kind):
    """A check that hangs fails after a timeout, and no other check of its client runs meanwhile."""
    client = await open_one("websocket", kind)
    await clock.advance(61)
    await soon(lambda: Events.asked == 2)
    with expect_log("tornado.application", "Uncaught exception") as records:
        await clock.advance(61)
        assert await end_of(client) == (1013, b"")
    assert isinstance(records[0].exc_info[1], TimeoutError)
    assert Events.asked == 2
    if Events.stuck is not None:
        Events.stuck.set_result(None)


@pytest.mark.parametrize("transport", LASTING)
@pytest.mark.gen_test
async def test_disconnected_meanwhile(open_one, clock, queue, transport):
    """A client that is disconnected during a check ends immediately and only once."""
    client = await open_one(transport, "waiting")
    await clock.advance(61)
    await soon(lambda: Events.asked == 2)
    assert Waiting.disconnect("ann") == 1
    expected = {"websocket": (4403, b""), "long-poll": (403, b"Forbidden")}
    assert await end_of(client) == expected.get(transport, (200, b""))
    Waiting.may.set_exception(Error.HTTP(401))
    await iterations()
    assert not queue.subscribers


@pytest.mark.parametrize("transport", LASTING)
@pytest.mark.gen_test
async def test_gone_meanwhile(open_one, clock, queue, transport):
    """A refusal of a client that left during the check is ignored."""
    client = await open_one(transport, "waiting")
    await clock.advance(61)
    await soon(lambda: Events.asked == 2)
    client.connection.close()
    await soon(lambda: not queue.subscribers)
    Waiting.may.set_result(False)
    await iterations()
    assert Events.last() is None


@pytest.mark.gen_test
async def test_checks_that_hang_for_ever(open_one, clock, expect_log, monkeypatch):
    """Checks that hang do not keep other clients from being checked."""
    monkeypatch.setattr(recheck, "AT_ONCE", 1)
    stuck = await open_one("sse", "stubborn")
    with expect_log("tornado.application", "Uncaught exception"):
        await clock.advance(61)
        await soon(lambda: Events.asked == 2)
        other = await open_one("websocket")
        Events.answer = False
        await clock.advance(61)
        assert await end_of(stuck) == (200, b"")
        assert await end_of(other) == (4403, b"")
    Events.stuck.set_result(None)


@pytest.mark.gen_test
async def test_not_all_at_once(open_one, clock, monkeypatch):
    """Clients whose checks are due at the same time are checked a few at a time."""
    monkeypatch.setattr(recheck, "FIRST_JITTER", 0.0)
    clients = [await open_one("sse", "counting") for _ in range(3 * recheck.AT_ONCE)]
    Counting.most = 0
    await clock.advance(61)
    await soon(lambda: Events.asked == 2 * len(clients))
    assert Counting.most == recheck.AT_ONCE
    assert Counting.running == 0


@pytest.mark.gen_test
async def test_spread(open_one, clock):
    """The first checks of clients that came together are spread over half of the interval."""
    for _ in range(20):
        await open_one("sse")
    await clock.advance(29)
    assert Events.asked == 20
    await clock.advance(16)
    await iterations()
    assert 20 < Events.asked < 40
    await clock.advance(16)
    await soon(lambda: Events.asked >= 40)


@pytest.mark.parametrize("transport", LASTING)
@pytest.mark.gen_test
async def test_who_left(open_one, clock, queue, transport):
    """A client that has left is not checked, and is freed immediately."""
    client = await open_one(transport)
    client.connection.close()
    await soon(lambda: not queue.subscribers)
    await iterations()
    assert Events.last() is None
    await clock.advance(61)
    assert Events.asked == 1


@pytest.mark.gen_test
async def test_not_kept_for_long(open_one, clock, queue, monkeypatch):
    """A client that has left is freed soon, even if its next check would be a day later."""
    monkeypatch.setattr(Events, "recheck_time", 86_400.0)
    client = await open_one("ndjson")
    (recheck,) = [one for one in Wheel.current().members() if isinstance(one, Recheck)]
    known = weakref.ref(recheck._context)
    del recheck
    await clock.advance(61)
    assert known() is not None
    client.connection.close()
    await soon(lambda: not queue.subscribers)
    await clock.advance(61)
    await iterations()
    assert known() is None
    assert Events.asked == 1


@pytest.mark.gen_test
async def test_polls_that_end_sooner(open_one, monkeypatch):
    """A poll that ends before its next check needs no recheck: the next poll is checked anyway."""
    made = []
    monkeypatch.setattr("tatsumaki_py.endpoint.subscribe.Recheck", lambda *args: made.append(args))
    await open_one("long-poll", timeout=25)
    assert not made
    await open_one("long-poll", timeout=999)
    assert len(made) == 1

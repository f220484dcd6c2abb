"""A fault of one stream is logged and ends that stream, and the other streams continue."""

import contextlib

import pytest
from support.pushing import Pushing, Subscribing
from support.wire import iterations, read_chunk, read_head, soon

from tatsumaki_py import Application
from tatsumaki_py.push.flusher import Flusher
from tatsumaki_py.push.hangup import INTERVAL, HangUps
from tatsumaki_py.push.stream import Stream
from tatsumaki_py.push.tornado_connection import _TornadoConnection
from tatsumaki_py.push.wheel import TICK, Wheel


class Fault(BaseException):
    """An exception that is not even an `Exception`."""


FAULTS = [ValueError, MemoryError, Fault]


class Waiting(Pushing):
    once, given = True, ()

    def get(self):
        self._peer_watch(self)

    def left(self, lost):
        pass

    served = left


class Failing(Subscribing):
    """A handler that fails in the place that the test sets."""

    where = ""

    def _stream_blocked(self, blocked):
        if self.where == "_stream_blocked":
            raise ValueError("on purpose")
        super()._stream_blocked(blocked)

    @property
    def heartbeat_interval(self):
        if self.where == "heartbeat_interval":
            raise ValueError("on purpose")
        return float("nan") if self.where == "nan" else 5.0


class FailingBegin(Pushing):
    def get(self):
        self.server_sent_events(True)

    def set_header(self, name, value):
        if name == "X-Accel-Buffering":
            raise ValueError("on purpose")
        super().set_header(name, value)


@pytest.fixture
def app(made):
    rules = {"/room": Subscribing, "/failing": Failing, "/wait": Waiting, "/begin": FailingBegin}
    return Application([(path, handler, {"made": made}) for path, handler in rules.items()])


@pytest.fixture
def three(get, queue):
    """Three subscribers that have read the beginning of their streams; the second one fails."""

    async def three(second="/room?id=2", **options):
        pairs = [await get("/room?id=1"), await get(second, **options), await get("/room?id=3")]
        for client, _ in pairs:
            await read_head(client)
            await read_chunk(client)
        return zip(*pairs, strict=True)

    return three


async def all_but_the_second_go_on(clients, handlers, queue):
    """Check that the second stream is closed and that the others still get events."""
    await soon(lambda: handlers[1].finished)
    assert (handlers[1].closed, handlers[1].finished) == (1, 1)
    for _ in range(2):
        queue.publish({"again": True})
        for client in (clients[0], clients[2]):
            while b'{"again":true}' not in await read_chunk(client):
                pass
    assert not Flusher.current()._awake
    roster = queue._audience.roster
    assert len(roster.streams) + len(roster.reading) == 2


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.gen_test
async def test_send(three, queue, expect_log, fault, count):
    """A `send` of one event or of several events fails."""
    clients, handlers = await three()

    class Wire:
        def __init__(self, sock):
            self.sock = sock

        def __getattr__(self, name):
            return getattr(self.sock, name)

        def send(self, data):
            raise fault("on purpose")

    handlers[1]._live.wire = Wire(handlers[1]._live.wire)
    with expect_log("tatsumaki", "sending to it failed"):
        if fault is Fault and count == 1:
            with expect_log("asyncio", "Exception in callback"):
                queue.publish({"n": 1})
                await iterations()
        elif fault is Fault:
            with expect_log("asyncio", "Exception in callback"):
                queue.publish({"n": 1}, {"n": 2})
                await iterations()
        else:
            queue.publish(*({"n": n} for n in range(count)))
            await soon(lambda: handlers[1].closed)
    await all_but_the_second_go_on(clients, handlers, queue)


@pytest.mark.parametrize("fault", [OSError, *FAULTS])
@pytest.mark.gen_test
async def test_flush(three, queue, monkeypatch, expect_log, fault):
    """A `flush` of a stream fails."""
    clients, handlers = await three()
    bad, flush = handlers[1]._live, Stream.flush

    def failing(stream):
        if stream is bad:
            raise fault("on purpose")
        flush(stream)

    monkeypatch.setattr(Stream, "flush", failing)
    for _, handler in zip(clients, handlers, strict=True):
        handler.stream_write("text")
    if fault is OSError:
        await soon(lambda: handlers[1].closed)
    else:
        with expect_log("tatsumaki", "sending to it failed"):
            if fault is Fault:
                with expect_log("asyncio", "Exception in callback"):
                    await soon(lambda: handlers[1].closed)
            else:
                await soon(lambda: handlers[1].closed)
    await all_but_the_second_go_on(clients, handlers, queue)


@pytest.mark.gen_test
async def test_owner_of_a_slow_stream(three, queue, small_buffers, raw_small, expect_log):
    """An owner fails when it is told that its client has become slow."""
    clients, handlers = await three("/failing?id=2", connect=raw_small)
    handlers[1].where = "_stream_blocked"
    with expect_log("tatsumaki", "sending to it failed"):
        handlers[1].stream_write("x" * 150_000)
        await soon(lambda: handlers[1].closed)
    await all_but_the_second_go_on(clients, handlers, queue)


@pytest.mark.gen_test
async def test_owner_of_a_stream_that_recovers(three, queue, small_buffers, raw_small, expect_log):
    """An owner fails when it is told that its client is no longer slow."""
    clients, handlers = await three("/failing?id=2", connect=raw_small)
    handlers[1].stream_write("x" * 150_000)
    await iterations()
    assert handlers[1]._live._rest is not None
    handlers[1].where = "_stream_blocked"
    with expect_log("tatsumaki", "sending to it failed"):
        with contextlib.suppress(ConnectionError):
            await clients[1].read_all()
        await soon(lambda: handlers[1].closed)
    await all_but_the_second_go_on(clients, handlers, queue)


@pytest.mark.gen_test
async def test_heartbeat(three, queue, clock, expect_log):
    """A property raises an exception when a heartbeat is due."""
    clients, handlers = await three("/failing?id=2")
    handlers[1].where = "heartbeat_interval"
    with expect_log("tatsumaki", "sending to it failed"):
        await clock.advance(6)
        await soon(lambda: handlers[1].closed)
    await all_but_the_second_go_on(clients, handlers, queue)
    await clock.advance(26)
    for client in (clients[0], clients[2]):
        assert b"heartbeat" in await read_chunk(client)


@pytest.mark.gen_test
async def test_interval_that_is_no_number(three, queue, clock, expect_log):
    """An invalid heartbeat interval is logged, and the wheel keeps turning."""
    clients, handlers = await three("/failing?id=2")
    handlers[1].where = "nan"
    with expect_log("tatsumaki", "Stream failed"):
        await clock.advance(6)
    assert b"heartbeat" in await read_chunk(clients[1])
    await clock.advance(26)
    for client in (clients[0], clients[2]):
        assert b"heartbeat" in await read_chunk(client)


class FaultyTurn:
    def turn(self):
        raise Fault


@pytest.mark.gen_test
async def test_wheel(clock, expect_log):
    """If a turn fails, the other turns that are due at the same time still run."""
    turned = []

    class Turn:
        def turn(self):
            turned.append(self)

    for turning in (Turn(), FaultyTurn(), Turn(), Turn()):
        Wheel.current().add(turning, 1)
    with expect_log("asyncio", "Exception in callback"):
        await clock.advance(1 + TICK)
    await clock.advance(TICK)
    assert len(turned) == 3


@pytest.mark.tornado_server
@pytest.mark.gen_test
async def test_hang_ups(get, clock, expect_log, monkeypatch):
    """A callback for a client that hung up fails, and later hang-ups are still noticed."""

    def hang_up(self, close=_TornadoConnection._hang_up):
        if self is clients[0][1]._client_connection:
            raise ValueError("on purpose")
        close(self)

    monkeypatch.setattr(_TornadoConnection, "_hang_up", hang_up)
    clients = []
    for _ in range(3):
        client, handler = await get("/wait")
        # Tornado does not watch a client that has sent more data.
        await client.send(b"GET /")
        clients.append((client, handler))
    await iterations()
    with expect_log("tatsumaki", "after its client hung up"):
        clients[0][0].close()
        clients[1][0].close()
        await iterations()
        await clock.advance(INTERVAL)
    await soon(lambda: clients[1][1].closed)
    assert HangUps.current()._asking
    clients[2][0].close()
    await iterations()
    await clock.advance(INTERVAL)
    await soon(lambda: clients[2][1].closed)
    assert not HangUps.current()._asking


@pytest.mark.parametrize("how", ["finish", "leave"])
@pytest.mark.gen_test
async def test_watchers(get, queue, expect_log, how):
    """A queue learns of the end of a stream even if another watcher fails."""
    client, handler = await get("/room?id=1")
    await read_head(client)

    class Watcher:
        given = ()

        def left(self, lost=False):
            raise ValueError("on purpose")

        served = left

    handler._watchers.insert(0, Watcher())
    with expect_log("tatsumaki", "could not be told"):
        if how == "finish":
            handler.finish()
        else:
            client.close()
        await soon(lambda: not queue._audience.roster.streams)
    assert handler.finished == 1


@pytest.mark.gen_test
async def test_access_log(get, app, queue, monkeypatch):
    """An exception in `log_function` reaches the caller, and the queue learns of the end."""
    client, handler = await get("/room?id=1")
    await read_head(client)
    monkeypatch.setitem(app.settings, "log_function", lambda handler: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        handler.finish()
    assert not queue._audience.roster.streams
    assert handler.finished == 1


@pytest.mark.gen_test
async def test_beginning(get, expect_log):
    """A stream that cannot be opened is answered with 500."""
    with expect_log("tornado.application", "Uncaught"), expect_log("tornado.access", "500"):
        client, handler = await get("/begin")
        assert (await read_head(client)).status == 500
    assert handler.finished == 1

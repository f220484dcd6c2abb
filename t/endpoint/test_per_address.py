"""Each address has limits for its connections and for the events that it publishes."""

import asyncio
import json
from types import SimpleNamespace

import pytest
from support.wire import read_reply, soon
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_unix_socket

from tatsumaki_py import Application, MessageQueue, PublishHandler, SubscribeHandler
from tatsumaki_py.endpoint import per_address
from tatsumaki_py.endpoint.per_address import ADDRESSES, Rates, address_of

LASTING = ["sse", "ndjson", "multipart", "websocket", "long-poll"]


class Two(SubscribeHandler):
    max_per_address = 2


class One(SubscribeHandler):
    max_per_address = 1
    kept = ()

    def initialize(self):
        self.kept.append(self)


class Slowly(PublishHandler):
    """A handler that allows a burst of four events, then one event every two seconds."""

    max_rate = 0.5
    max_burst = 4


class Other(Slowly):
    pass


@pytest.fixture
def app():
    One.kept = []
    per_address.RATES._full.clear()
    kinds = {"two": Two, "one": One, "any": SubscribeHandler, "slowly": Slowly, "other": Other}
    return Application([(rf"/{name}/(\w+)", kind) for name, kind in kinds.items()])


@pytest.fixture
def http_server(io_loop, _unused_port, app):
    """A server that trusts the headers of a proxy, as `Server(xheaders=True)` does."""
    server = HTTPServer(app, xheaders=True)
    server.add_socket(_unused_port[0])
    yield server
    server.stop()
    io_loop.run_sync(server.close_all_connections)


@pytest.fixture
def come(subscriber):
    """`client = await come("sse", "10.0.0.1")` sends a request."""

    async def come(transport, address, path="/two/room"):
        client = subscriber(transport, path=path, headers={"X-Real-IP": address})
        await client.request()
        return client

    return come


async def refused(client):
    """Check that the client is refused because of its address."""
    reply = await read_reply(client.connection)
    assert (reply.status, reply.headers["retry-after"]) == (429, "10")
    assert reply.body == b"too many connections from this address"


@pytest.mark.parametrize("transport", LASTING)
@pytest.mark.gen_test
async def test_connections(come, queue, transport):
    """All transports share the limit of connections; a connection that ends makes room for
    another.
    """
    one = await come(transport, "10.0.0.1")
    await come("long-poll", "10.0.0.1")
    await soon(lambda: queue.subscribers == 2)
    await refused(await come(transport, "10.0.0.1"))
    other = await come(transport, "10.0.0.2")
    await soon(lambda: queue.subscribers == 3)
    one.close()
    await soon(lambda: queue.subscribers == 2)
    await come(transport, "10.0.0.1")
    await soon(lambda: queue.subscribers == 3)
    other.close()


@pytest.mark.gen_test
async def test_all_classes(come, queue):
    """The connections of all classes with a limit are counted together; other classes are not
    counted.
    """
    await come("sse", "10.0.0.1", "/any/room")
    await come("sse", "10.0.0.1")
    await soon(lambda: queue.subscribers == 2)
    await refused(await come("sse", "10.0.0.1", "/one/room"))
    await come("sse", "10.0.0.1", "/any/room")
    await soon(lambda: queue.subscribers == 3)


@pytest.mark.gen_test
async def test_what_is_over_does_not_count(come, queue):
    """A handler that the program keeps is not counted after its answer has ended."""
    for _ in range(3):
        client = await come("long-poll", "10.0.0.1", "/one/room")
        await soon(lambda: queue.subscribers == 1)
        queue.disconnect()
        assert (await read_reply(client.connection)).status == 200
    assert len(One.kept) == 3


@pytest.mark.gen_test
async def test_nothing_is_kept(come, queue):
    """An address is forgotten when its last connection ends."""
    clients = [await come("sse", f"10.0.0.{number}") for number in range(5)]
    await soon(lambda: len(ADDRESSES) == 5)
    for client in clients:
        client.close()
    await soon(lambda: len(ADDRESSES) == 0)


@pytest.mark.parametrize(
    ("address", "counts_with"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2::3", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::3", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
    ],
)
def test_addresses(address, counts_with):
    """Each IPv4 address is counted separately, an IPv6 address together with its /64 network."""
    assert address_of(SimpleNamespace(remote_ip=address)) == counts_with


@pytest.mark.gen_test
async def test_a_unix_socket(app, tmp_path, queue, expect_log, monkeypatch):
    """Clients of a Unix socket have no address and no limit, and the log says so once."""
    monkeypatch.setattr(per_address, "_told", [])
    server = HTTPServer(app)
    server.add_socket(bind_unix_socket(str(tmp_path / "socket")))
    clients = []
    try:
        with expect_log("tatsumaki", "clients of a Unix socket") as records:
            for _ in range(3):
                clients.append(await UnixClient.connect(tmp_path / "socket"))
                assert (await clients[-1].ask("/two/room?transport=sse")).startswith(
                    b"HTTP/1.1 200"
                )
        assert len(records) == 1
    finally:
        for client in clients:
            client.writer.close()
        await soon(lambda: not queue.subscribers)
        server.stop()
        await server.close_all_connections()


class UnixClient:
    @classmethod
    async def connect(cls, path):
        client = cls()
        client.reader, client.writer = await asyncio.open_unix_connection(str(path))
        return client

    async def ask(self, target):
        self.writer.write(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        return await self.reader.readuntil(b"\r\n\r\n")


@pytest.fixture
def publish(fetch):
    """`answer = await publish("10.0.0.1", {"n": 1})` publishes an event."""

    def publish(address, event, path="/slowly/room"):
        headers = {"Content-Type": "application/json", "X-Real-IP": address}
        return fetch(path, method="POST", body=json.dumps(event), headers=headers)

    return publish


@pytest.mark.gen_test
async def test_publishing(publish, clock, queue):
    """An address may publish a burst, then events at the allowed rate. Other addresses are not
    affected.
    """
    for number in range(4):
        assert (await publish("10.0.0.1", {"n": number})).code == 200
    answer = await publish("10.0.0.1", {"n": 4})
    assert (answer.code, answer.headers["Retry-After"]) == (429, "2")
    assert answer.body == b"too many events from this address"
    assert (await publish("10.0.0.2", {"n": 5})).code == 200
    await clock.advance(2)
    assert (await publish("10.0.0.1", {"n": 6})).code == 200
    assert (await publish("10.0.0.1", {"n": 7})).code == 429
    assert [event["n"] for event in queue.backlog_events] == [0, 1, 2, 3, 5, 6]


@pytest.mark.gen_test
async def test_lists(publish, clock):
    """All events of a list count, even beyond the limit: the next request must wait longer."""
    assert (await publish("10.0.0.1", [1, 2, 3, 4, 5, 6])).code == 200
    answer = await publish("10.0.0.1", 7)
    assert (answer.code, answer.headers["Retry-After"]) == (429, "6")
    await clock.advance(6)
    assert (await publish("10.0.0.1", [])).code == 200
    assert (await publish("10.0.0.1", 7)).code == 429


@pytest.mark.gen_test
async def test_each_class(publish):
    """Each class of handlers counts events separately."""
    for path in ("/slowly/room", "/other/room"):
        codes = [(await publish("10.0.0.1", 1, path)).code for _ in range(5)]
        assert codes == [200] * 4 + [429]
    assert len(MessageQueue.instance("room").backlog_events) == 8


def test_addresses_are_forgotten(monkeypatch):
    """Addresses that have been quiet are forgotten, and the number of addresses is bounded."""
    monkeypatch.setattr(per_address, "MAX_ADDRESSES", 3000)
    rates = Rates()
    for number in range(5000):
        rates.take(number, now=float(number), rate=1.0)
    assert len(rates) <= 1000
    for number in range(5000):
        rates.take(number, now=5000.0, rate=0.001)
    assert len(rates) <= 3000
    assert rates.wait(4999, 5000.0, 0.001, 1) > 0


@pytest.mark.parametrize(
    ("kind", "name", "mistakes"),
    [
        (SubscribeHandler, "max_per_address", (0, -1, float("nan"), "5")),
        (SubscribeHandler, "recheck_time", (0, -1.0, float("inf"), float("nan"))),
        (PublishHandler, "max_rate", (0, -1.0, float("inf"), float("nan"))),
        (PublishHandler, "max_burst", (0, -20)),
    ],
)
def test_mistakes(kind, name, mistakes):
    """An invalid limit raises a `ValueError` when the class is made."""
    for mistake in mistakes:
        match = rf"^Mine.{name} must be a finite number of at least .*, not "
        with pytest.raises(ValueError, match=match):
            type("Mine", (kind,), {name: mistake})


def test_a_scan_of_many_addresses(monkeypatch):
    """At the maximum number of addresses, only a few new ones trigger a sweep, which takes the
    loop's time.
    """
    monkeypatch.setattr(per_address, "MAX_ADDRESSES", 2000)
    sweeps = []
    sweep = Rates._sweep
    monkeypatch.setattr(Rates, "_sweep", lambda *args: sweeps.append(sweep(*args)))
    rates = Rates()
    for number in range(10_000):
        rates.take(number, now=0.0, rate=0.001)
        assert len(rates) <= 2000
    assert len(sweeps) <= 50

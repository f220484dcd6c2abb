"""Clients that forge tickets or addresses, or that connect too often."""

import random
from urllib.parse import quote_from_bytes

import pytest
from support.answers import until
from tornado.web import create_signed_value

from tatsumaki_py import Application, Handler, PublishHandler, SubscribeHandler, TicketedHandler
from tatsumaki_py.endpoint import per_address
from tatsumaki_py.endpoint.groups import GROUPS
from tatsumaki_py.endpoint.per_address import ADDRESSES

SECRET = "a secret of the tests"


class Two(SubscribeHandler):
    max_per_address = 2


class Undecided(Two):
    """Waits in `can_subscribe`."""

    async def can_subscribe(self, channel):
        return await self.waiting

    def initialize(self, waiting):
        self.waiting = waiting


class Slowly(PublishHandler):
    max_rate = 0.01
    max_burst = 2


class Echo(Handler):
    def get(self):
        self.write({"fields": dict(self.request.parameters)})


@pytest.fixture
def app(io_loop):
    waiting = io_loop.asyncio_loop.create_future()
    rules = [
        ("/echo", Echo),
        (r"/events/(\w+)", TicketedHandler),
        (r"/two/(\w+)", Two),
        (r"/undecided/(\w+)", Undecided, {"waiting": waiting}),
        (r"/slowly/(\w+)", Slowly),
    ]
    per_address.RATES._full.clear()
    return Application(rules, cookie_secret=SECRET)


def texts():
    """Texts that look like a ticket."""
    dice = random.Random(7)
    genuine = create_signed_value(SECRET, "user", "x" * 50)
    yield from (b"", b"|", b"2|", b"2||||||", b"2|1:0|10:1|4:name|4:text|" + b"0" * 64)
    yield from (b"2_" + b"1" * size for size in (10, 4301, 15_000))
    yield from (b"2|" + b"9" * 5000 + b":0|", b"9" * 400, b"\x00" * 100, b"\xff" * 100)
    for _ in range(100):
        text = bytearray(genuine)
        for _ in range(dice.randint(1, 4)):
            text[dice.randrange(len(text))] = dice.randrange(256)
        yield bytes(text[: dice.randrange(len(text))])
        yield dice.randbytes(dice.randrange(200))


@pytest.mark.gen_test
async def test_forged_tickets(server):
    """A forged ticket gets a 403 with one line, and never reaches a log."""
    for text in texts():
        reply = await server.get(f"/events/room?ticket={quote_from_bytes(text)}x")
        assert (reply.status, reply.body) == (403, b"the ticket is not valid"), text
    for _, line, _ in server.records.lines:
        if "ticket" in line:
            assert "ticket=... " in line
    await server.is_well()


@pytest.mark.gen_test
async def test_an_address_that_is_made_up(server, queue):
    """A header sets the address only if the server trusts it."""
    for number in range(2):
        client = await server.connect(stream(f"X-Real-IP: 10.0.0.{number}"))
        await client.read_until(b"\r\n\r\n")
    for name in ("X-Real-IP", "X-Forwarded-For", "Forwarded"):
        reply = await server.get("/two/room?transport=sse", f"{name}: 10.9.9.9")
        assert reply.status == 429
    assert queue.subscribers == 2
    await server.is_well()


def stream(*headers, path="/two/room"):
    lines = [f"GET {path}?transport=sse HTTP/1.1", "Host: x", *headers, "", ""]
    return "\r\n".join(lines).encode()


@pytest.mark.gen_test
async def test_many_that_are_not_admitted_yet(server, app):
    """Requests that wait for `can_subscribe` count towards the limit."""
    clients = [await server.connect(stream(path="/undecided/room")) for _ in range(2)]
    await until(lambda: sum(map(len, ADDRESSES._members.values())) == 2)
    assert (await server.get("/undecided/room?transport=sse")).status == 429
    for client in clients:
        client.reset()
    (rule,) = [rule for rule in app.wildcard_router.rules if rule.target is Undecided]
    rule.target_kwargs["waiting"].set_result(False)
    await until(lambda: not ADDRESSES._members)


@pytest.mark.gen_test
async def test_connections_that_come_and_go(server, queue):
    """Connections that have ended leave no count behind."""
    for _ in range(60):
        client = await server.connect(stream())
        client.reset()
    await until(lambda: not ADDRESSES._members and not queue.subscribers)
    assert len(GROUPS) == 0
    await server.is_well()


@pytest.mark.gen_test
async def test_publishing_what_is_refused(server, queue):
    """Requests that are refused for other reasons also count towards the limit."""
    statuses = [(await server.post("/slowly/room", b"")).status for _ in range(4)]
    assert statuses == [400, 400, 429, 429]
    assert not queue.backlog_events

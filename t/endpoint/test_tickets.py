"""A ticket, a text in the URL, lets a client subscribe."""

import asyncio
import re
import time

import pytest
from support.wire import read_reply, soon
from tornado.web import create_signed_value

from tatsumaki_py import Application, Handler, SubscribeHandler, TicketedHandler, ticket
from tatsumaki_py.endpoint.departed import class_name
from tatsumaki_py.endpoint.groups import obey
from tatsumaki_py.testing import Ended

SECRET = "a secret of the tests"


class Tickets(Handler):
    """A handler that makes tickets, as a program would."""

    def get(self):
        channels = self.request.query_parameters.get_all("channel")
        seconds = float(self.request.param("seconds", "60"))
        self.write(self.create_ticket(channels, seconds, self.request.param("group")))


class Events(TicketedHandler):
    pass


class Choosy(TicketedHandler):
    """A handler that checks the ticket and its group."""

    async def can_subscribe(self, channel):
        await asyncio.sleep(0)
        return self.check_ticket(channel).group == "ann"


RULES = [
    ("/tickets", Tickets),
    (r"/events/([\w.-]+)", Events),
    ("/events", Events),
    (r"/choosy/([\w.-]+)", Choosy),
]


@pytest.fixture
def app():
    return Application(RULES, cookie_secret=SECRET)


@pytest.fixture
def make(fetch):
    """`text = await make("channel=a&channel=b&seconds=60")` makes a ticket."""

    async def make(query="channel=room"):
        answer = await fetch(f"/tickets?{query}")
        assert answer.code == 200
        return answer.body.decode()

    return make


@pytest.fixture
def refused(subscriber):
    """`line = await refused("sse", ticket=...)` returns the reason that a refused client gets."""

    async def refused(transport, path="/events/room", **query):
        client = subscriber(transport, path=path, **query)
        await client.request()
        reply = await read_reply(client.connection)
        assert reply.status == 403
        return reply.body.decode()

    return refused


def at(seconds, monkeypatch):
    """Set the time to `seconds` from now."""
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + seconds)


@pytest.mark.gen_test
async def test_a_ticket(subscriber, transport, make, queue):
    """A ticket admits a client on every transport, and needs no escaping in a URL."""
    queue.publish({"n": 1})
    text = await make()
    assert re.fullmatch(r"[\w.:~-]+", text)
    client = subscriber(transport, path="/events/room", ticket=text)
    await client.open()
    assert await client.take(1) == [{"n": 1}]


@pytest.mark.gen_test
async def test_several_channels(subscriber, make, queue, refused):
    """A ticket is valid for all or some of the channels that it names, and for no others."""
    text = await make("channel=a&channel=room")
    client = subscriber("sse", path="/events", channel=["room", "a"], ticket=text)
    assert (await client.open()).status == 200
    line = await refused("sse", "/events", channel=["room", "b"], ticket=text)
    assert line == "the ticket is for other channels"


@pytest.mark.gen_test
async def test_refusals(transport, make, refused, monkeypatch):
    """A refusal has one line that says why."""
    text = await make()
    assert await refused(transport) == "missing parameter: ticket"
    assert await refused(transport, ticket="x") == "the ticket is not valid"
    other = await refused(transport, "/events/other", ticket=text)
    assert other == "the ticket is for other channels"
    at(61, monkeypatch)
    assert await refused(transport, ticket=text) == "the ticket has expired"


@pytest.mark.gen_test
async def test_a_connection_outlives_it(subscriber, make, queue, monkeypatch, clock):
    """A connection outlives its ticket, even if it is checked again; a new connection is
    refused.
    """
    checked = []
    monkeypatch.setattr(Events, "recheck_time", 60.0)
    monkeypatch.setattr(Events, "check_ticket", check_and_note(checked))
    client = subscriber("sse", path="/events/room", ticket=await make("channel=room&seconds=0.1"))
    await client.open()
    await asyncio.sleep(0.11)
    await clock.advance(61)
    await soon(lambda: len(checked) == 2)
    queue.publish({"n": 1})
    assert await client.take(1) == [{"n": 1}]
    again = subscriber("sse", path="/events/room", ticket=client.params["ticket"])
    assert (await again.open()).status == 403


@pytest.mark.gen_test
async def test_a_connection_of_several_days(subscriber, make, queue, monkeypatch, clock, refused):
    """A connection outlives its ticket by days."""
    checked = []
    monkeypatch.setattr(Events, "recheck_time", 60.0)
    monkeypatch.setattr(Events, "check_ticket", check_and_note(checked))
    text = await make("channel=room&seconds=86400")
    client = subscriber("sse", path="/events/room", ticket=text)
    await client.open()
    await soon(lambda: queue.subscribers)
    at(2 * 86_400, monkeypatch)
    await clock.advance(61)
    await soon(lambda: len(checked) == 2)
    queue.publish({"n": 1})
    assert await client.take(1) == [{"n": 1}]
    assert await refused("sse", ticket=text) == "the ticket has expired"


def check_and_note(checked):
    def check_ticket(self, channel):
        checked.append(channel)
        return TicketedHandler.check_ticket(self, channel)

    return check_ticket


@pytest.mark.gen_test
async def test_disconnect_takes_it_back(subscriber, make, refused, queue):
    """`disconnect` revokes the tickets of a group, but not those made afterwards."""
    old, others = await make("channel=room&group=ann"), await make("channel=room&group=bob")
    client = subscriber("websocket", path="/events/room", ticket=old)
    await client.open()
    assert SubscribeHandler.disconnect("ann") == 1
    with pytest.raises(Ended, match="4403"):
        await client.take(1)
    assert await refused("websocket", ticket=old) == "the ticket was revoked"
    # The same call, arriving late from another process, revokes only older tickets.
    kind, when = class_name(SubscribeHandler), time.time() - 60
    obey(SubscribeHandler, {"kind": kind, "group": "ann", "time": when})
    assert await refused("websocket", ticket=old) == "the ticket was revoked"
    obey(SubscribeHandler, {"kind": kind, "group": "bob", "time": when})
    await asyncio.sleep(0.002)
    for text in (others, await make("channel=room&group=ann")):
        client = subscriber("sse", path="/events/room", ticket=text)
        assert (await client.open()).status == 200


@pytest.mark.gen_test
async def test_of_another_class(subscriber, make):
    """`disconnect` of a class does not revoke tickets for its base class."""
    text = await make("channel=room&group=ann")
    Choosy.disconnect("ann")
    client = subscriber("sse", path="/events/room", ticket=text)
    assert (await client.open()).status == 200


@pytest.mark.gen_test
async def test_a_check_of_ones_own(subscriber, make, refused):
    """A handler may check more than the ticket."""
    text = await make("channel=room&group=ann")
    client = subscriber("sse", path="/choosy/room", ticket=text)
    assert (await client.open()).status == 200
    text = await make("channel=room&group=bob")
    assert await refused("sse", "/choosy/room", ticket=text) == "Forbidden"
    assert await refused("sse", "/choosy/room", ticket="x") == "the ticket is not valid"


FORGED = {
    "a signed cookie of the program": create_signed_value(SECRET, "user", '["room"]'),
    "the old form of signed values": create_signed_value(SECRET, ticket._NAME, "[]", version=1),
    "another secret": create_signed_value("another", ticket._NAME, '[["room"],null,0,9e9]'),
    "nothing": b"2|1:0|10:1700000000|0:|0:|",
    "long": b"2|" + b"9" * 10_000,
    "too long": b"2" * 20_000,
    "not base64": b"2|1:0|10:1700000000|15:TatsumakiTicket|4:\xff\xff\xff\xff|" + b"0" * 64,
}


@pytest.mark.parametrize("text", FORGED.values(), ids=FORGED)
@pytest.mark.gen_test
async def test_forged(refused, text):
    """A text that the program did not make as a ticket is refused."""
    text = text.decode("latin-1").translate(ticket._SAFE)
    assert await refused("sse", ticket=text) == "the ticket is not valid"


@pytest.mark.gen_test
async def test_one_character(make, refused):
    """A ticket is not valid if any character was changed."""
    text = await make()
    for index in range(0, len(text), 7):
        other = "1" if text[index] != "1" else "2"
        changed = text[:index] + other + text[index + 1 :]
        assert await refused("sse", ticket=changed) == "the ticket is not valid"


class _Signer:
    """The part of a handler that signs and reads values."""

    def __init__(self, app):
        self.application = app
        self.settings = app.settings

    require_setting = Handler.require_setting
    create_signed_value = Handler.create_signed_value
    get_signed_cookie = Handler.get_signed_cookie


def signer(**settings):
    return _Signer(Application([], **settings))


def test_it_is_no_cookie():
    """A ticket is not accepted as a cookie of the program."""
    one = signer(cookie_secret=SECRET)
    text = ticket.create(one, ["room"], 60, None).translate(ticket._UNSAFE)
    assert one.get_signed_cookie("user", text) is None
    assert one.get_signed_cookie(ticket._NAME, text) is not None


def test_keys_are_rotated():
    """A ticket that was signed with an older key is valid until the key is removed."""
    old = signer(cookie_secret={1: "one", 2: "two"}, key_version=1)
    new = signer(cookie_secret={1: "one", 2: "two"}, key_version=2)
    last = signer(cookie_secret={2: "two"}, key_version=2)
    texts = [ticket.create(one, ["room"], 60, "ann") for one in (old, new)]
    assert [ticket.read(new, text).channels for text in texts] == [["room"], ["room"]]
    assert ticket.read(last, texts[0]) is None
    assert ticket.read(last, texts[1]).group == "ann"


@pytest.mark.parametrize(
    ("settings", "mistake"),
    [
        ({}, "needs the setting cookie_secret"),
        ({"cookie_secret": ""}, "needs the setting cookie_secret"),
        ({"cookie_secret": {1: "one"}}, r"needs the setting key_version, one of \[1\]"),
    ],
)
def test_no_secret(settings, mistake):
    """The exception names the missing setting."""
    with pytest.raises(RuntimeError, match=mistake):
        ticket.create(signer(**settings), ["room"], 60, None)
    with pytest.raises(RuntimeError, match=mistake):
        ticket.read(signer(**settings), "x")


@pytest.mark.parametrize(
    ("arguments", "error", "mistake"),
    [
        (("room", 60, None), TypeError, r"takes a list of channels: \['room'\]"),
        ((b"room", 60, None), TypeError, r"takes a list of channels: \[b'room'\]"),
        (([], 60, None), ValueError, "1 to 200 channels, not 0"),
        ((["a"] * 201, 60, None), ValueError, "1 to 200 channels, not 201"),
        (([None], 60, None), TypeError, "name of a channel must be a str"),
        ((["a"], "60", None), TypeError, "a number of seconds, not '60'"),
        ((["a"], float("nan"), None), ValueError, "up to 86400 seconds, not nan"),
        ((["a"], float("inf"), None), ValueError, "up to 86400 seconds, not inf"),
        ((["a"], 0, None), ValueError, "up to 86400 seconds, not 0"),
        ((["a"], 86_401, None), ValueError, "up to 86400 seconds"),
        ((["a"], float("nan"), None), ValueError, "up to 86400 seconds"),
        ((["a"], 60, {}), TypeError, "the group of a ticket must be a str, bytes or int"),
        ((["a" * 1000] * 20, 60, None), ValueError, "too long for a URL"),
    ],
)
def test_mistakes(arguments, error, mistake):
    """Invalid arguments raise exceptions that name them."""
    with pytest.raises(error, match=mistake):
        ticket.create(signer(cookie_secret=SECRET), *arguments)

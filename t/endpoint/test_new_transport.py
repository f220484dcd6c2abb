"""A program can add a transport with one class and one row: JSON text sequences (RFC 7464)."""

import json

import pytest
from support.subscriber import subscriber
from support.wire import read_reply

from tatsumaki_py import SubscribeHandler
from tatsumaki_py.push.framing import Framing
from tatsumaki_py.push.framing.json_text import enveloped, place
from tatsumaki_py.push.transports import TRANSPORTS, Streaming
from tatsumaki_py.testing.message import Place
from tatsumaki_py.testing.message import enveloped as enveloped_item
from tatsumaki_py.testing.readers import READERS
from tatsumaki_py.testing.readers.reader import Reader


class JSONSequence(Framing):
    """A framing with a record separator before each JSON text and a line feed after it."""

    content_type = "application/json-seq"
    has_heartbeat = True

    def at(self, cursor):
        return self.wire(self.part(place(cursor), "application/json"))

    heartbeat = at

    def event(self, event, payload=None):
        return self.part(enveloped(event, payload), "application/json")

    def part(self, body, content_type, id=None):
        return b"\x1e%b\n" % body


ROW = Streaming("json-seq", "a sequence", ("application/json-seq",), framing=JSONSequence)


class Sequence(Reader):
    """A reader of the new transport."""

    async def step(self):
        text = await self.until(b"\n")
        assert text[:1] == b"\x1e"
        item = enveloped_item(json.loads(text[1:]))
        self.beats += isinstance(item, Place)
        return item


@pytest.fixture(autouse=True)
def row(monkeypatch):
    monkeypatch.setitem(TRANSPORTS, ROW.name, ROW)
    monkeypatch.setitem(READERS, ROW.name, Sequence)


@pytest.fixture
def client(http_server, http_port):
    """`client(cursor=..., ...)` returns a client that is not open yet."""
    made = []

    def client(**options):
        made.append(subscriber(ROW.name, http_port, **options))
        return made[-1]

    yield client
    for one in made:
        one.close()


@pytest.mark.gen_test
async def test_events(client, queue):
    """Events of the backlog and new events arrive in order, with their ids."""
    queue.publish({"n": 1}, {"n": 2})
    one = client()
    head = await one.open()
    assert head.headers["content-type"] == "application/json-seq"
    assert head.headers["cache-control"] == "no-store, no-transform"
    assert await one.take(2) == [{"n": 1}, {"n": 2}]
    queue.publish({"n": 3})
    assert await one.take(1) == [{"n": 3}]
    assert one.cursor == queue.cursor()


@pytest.mark.gen_test
async def test_resume(client, queue):
    """A client resumes after its cursor, and learns its cursor before the first event."""
    one = client()
    await one.open()
    queue.publish({"n": 1})
    assert await one.take(1) == [{"n": 1}]
    one.close()
    queue.publish({"n": 2}, {"n": 3})
    await one.open()
    assert await one.take(2) == [{"n": 2}, {"n": 3}]
    late = client(cursor=queue.cursor())
    head = await late.open()
    assert head.headers["last-event-id"] == queue.cursor()


@pytest.mark.gen_test
async def test_a_gap(client, queue):
    """A client that missed events gets a gap."""
    one = client(cursor="1-0")
    await one.open()
    message = await one.next()
    assert message.gap
    assert message.data["after"] == "1-0"


@pytest.mark.gen_test
async def test_heartbeat(client, queue, monkeypatch):
    """The heartbeats of a stream without events contain the cursor."""
    monkeypatch.setattr(SubscribeHandler, "heartbeat_interval", 0.01)
    one = client()
    await one.open()
    begun = one.heartbeats
    while one.heartbeats < begun + 2:
        assert await one.step() is None
    assert one.cursor == queue.cursor()


@pytest.mark.gen_test
async def test_bytes_are_shared(client, queue):
    """All clients of the transport get the same bytes, and an event is framed once."""
    clients = [client() for _ in range(3)]
    for one in clients:
        await one.open()
    queue.publish({"n": 1})
    assert [await one.take(1) for one in clients] == [[{"n": 1}]] * 3
    (event,) = queue.backlog_events
    framed = [kind for kind in event.frames if isinstance(kind, JSONSequence)]
    assert len(framed) == 1


@pytest.mark.gen_test
async def test_negotiation(raw, http_server, http_port, queue):
    """`Accept` can ask for the new transport, and refusals list it."""

    async def fetch(query="", accept="*/*", method="GET"):
        one = await raw(http_port)
        await one.send(
            f"{method} /events/room?{query} HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\n"
            "Connection: close\r\n\r\n".encode()
        )
        return await read_reply(one, method)

    accept = "application/json;q=0.5, application/json-seq"
    head = await fetch(accept=accept, method="HEAD")
    assert head.headers["content-type"] == "application/json-seq"
    assert (await fetch("transport=no")).body.endswith(b"interval-poll, json-seq")
    assert (await fetch(accept="image/png")).body.endswith(b"application/json-seq")


@pytest.mark.gen_test
async def test_own_form(client, queue, monkeypatch):
    """The text that `get_chunk` makes of an event is framed, too."""

    def get_chunk(self, chunk, *more):
        return json.dumps({"made": dict(chunk)})

    monkeypatch.setattr(SubscribeHandler, "get_chunk", get_chunk)
    one = client()
    await one.open()
    queue.publish({"n": 1})
    assert await one.take(1) == [{"made": {"n": 1}}]

"""With `text = True`, a string is sent as it is, for pages that want HTML."""

import json

import pytest
from tornado.websocket import websocket_connect

from tatsumaki_py import MessageQueue

HTML = '<li id="one">caf\u00e9 \u2028 "x"</li>'
FORGED = "one\n\nid: 9-9\ndata: two\r\nevent: gap\rthree\n"


@pytest.fixture
def handler(handler):
    handler.text = True
    return handler


@pytest.fixture
def socket(http_server, http_port):
    """`await socket()` opens a WebSocket."""
    made = []

    async def socket(query="", path="/events/room"):
        made.append(await websocket_connect(f"ws://127.0.0.1:{http_port}{path}?{query}"))
        return made[-1]

    yield socket
    for one in made:
        one.close()


async def lines(client):
    """Read the next event of a stream of Server-Sent Events, without its id."""
    id, *rest = (await client._reader.until(b"\n\n")).decode().split("\n")
    while not id.startswith("id: "):
        id, *rest = rest
    client.cursor = id.removeprefix("id: ")
    return [] if rest[0] == "event: cursor" else rest


@pytest.mark.gen_test
async def test_server_sent_events(subscriber, queue):
    """Each line of a string becomes a data field; a string cannot forge an id or an event."""
    client = subscriber("sse")
    await client.open()
    assert await lines(client) == []
    for text in (HTML, FORGED, ""):
        queue.publish(text)
    assert await lines(client) == [f"data: {HTML}"]
    forged = ["one", "", "id: 9-9", "data: two", "event: gap", "three", ""]
    assert await lines(client) == [f"data: {line}" for line in forged]
    assert await lines(client) == ["data: "]
    assert client.cursor == queue.cursor()


@pytest.mark.parametrize("value", [{"n": "x"}, ["x"], None, 5, True])
@pytest.mark.gen_test
async def test_other_values_are_json(subscriber, socket, queue, value):
    """A value that is not a string is sent as JSON, as it was published."""
    client, other = subscriber("sse", cursor=queue.cursor()), await socket()
    await client.open()
    queue.publish(value)
    assert await lines(client) == []
    text = json.dumps(value, separators=(",", ":"))
    assert await lines(client) == [f"data: {text}"]
    assert await other.read_message() == text


@pytest.mark.gen_test
async def test_text_with_a_type(subscriber, socket, queue):
    """An object with a type and a text becomes an event of that type; the text cannot forge a
    field.
    """
    client, other = subscriber("sse", cursor=queue.cursor()), await socket()
    await client.open()
    assert await lines(client) == []
    queue.publish({"type": "patch", "text": FORGED})
    name, _, *data = (await client._reader.until(b"\n\n")).decode().split("\n")
    assert name == "event: patch"
    forged = ["one", "", "id: 9-9", "data: two", "event: gap", "three", ""]
    assert data == [f"data: {line}" for line in forged]
    assert json.loads(await other.read_message()) == {"type": "patch", "text": FORGED}


@pytest.mark.parametrize(
    "value",
    [
        {"type": "patch", "text": "x", "n": 1},
        {"type": "patch", "text": 1},
        {"type": "patch"},
        {"type": "cursor", "text": "x"},
        {"type": "two\nlines", "text": "x"},
        {"type": "", "text": "x"},
        {"text": "x", "n": "y"},
    ],
)
@pytest.mark.gen_test
async def test_other_objects_are_json(subscriber, queue, value):
    """An object with other fields, or with a reserved or invalid type, is sent as JSON."""
    client = subscriber("sse", cursor=queue.cursor())
    await client.open()
    assert await lines(client) == []
    queue.publish(value)
    assert await lines(client) == [f"data: {json.dumps(value, separators=(',', ':'))}"]


@pytest.mark.gen_test
async def test_resume(subscriber, queue):
    """Events have ids, with which an `EventSource` resumes."""
    client = subscriber("sse", event_type=1)
    await client.open()
    await lines(client)
    queue.publish("one")
    assert await lines(client) == ["data: one"]
    client.close()
    queue.publish("two")
    await client.open()
    assert await lines(client) == []
    assert await lines(client) == ["data: two"]


@pytest.mark.gen_test
async def test_websocket(socket, queue):
    """A message is the string itself; no message contains a cursor, even with `heartbeat=1`."""
    queue.publish("before")
    client = await socket("heartbeat=1")
    queue.publish(HTML, FORGED, "")
    got = [await client.read_message() for _ in range(4)]
    assert got == ["before", HTML, FORGED, ""]


@pytest.mark.gen_test
async def test_a_gap(subscriber, socket, queue):
    """A gap is sent as an event of type gap, or as a JSON object over WebSocket."""
    client = subscriber("sse", cursor="1-0")
    await client.open()
    assert await lines(client) == []
    name, _, data = (await client._reader.until(b"\n\n")).decode().split("\n")
    assert name == "event: gap"
    assert json.loads(data.removeprefix("data: "))["after"] == "1-0"
    message = await (await socket("last_event_id=1-0")).read_message()
    assert json.loads(message)["type"] == "gap"


@pytest.mark.parametrize("text", ['{"type":"gap","after":"1-0","id":"9-9"}', '\n {"type": "gap"}'])
@pytest.mark.gen_test
async def test_no_gap(subscriber, socket, queue, text):
    """A string that looks like a gap is sent as JSON, in quotes."""
    client, other = subscriber("sse", cursor=queue.cursor(), event_type=1), await socket()
    await client.open()
    queue.publish(text, text[:-1])
    assert await lines(client) == []
    assert await lines(client) == [f"data: {json.dumps(text)}"]
    assert await lines(client) == [f"data: {line}" for line in text[:-1].split("\n")]
    assert [await other.read_message() for _ in range(2)] == [json.dumps(text), text[:-1]]


@pytest.mark.parametrize("transport", ["ndjson", "multipart", "long-poll", "interval-poll"])
@pytest.mark.gen_test
async def test_other_transports_are_json(subscriber, queue, transport):
    """Other transports send strings as JSON."""
    client = subscriber(transport, cursor=queue.cursor())
    await client.start()
    queue.publish(HTML, FORGED)
    assert await client.take(2) == [HTML, FORGED]


@pytest.mark.gen_test
async def test_of_several_channels(subscriber, socket, app):
    """A string of one of several channels is sent without the name of its channel."""
    client = subscriber("sse", path="/events", channel=["a", "b"])
    other = await socket("channel=a&channel=b", path="/events")
    await client.open()
    assert await lines(client) == []
    MessageQueue.instance("a").publish(HTML)
    MessageQueue.instance("b").publish({"n": 1})
    assert await lines(client) == [f"data: {HTML}"]
    assert await lines(client) == ['data: {"channel":"b","data":{"n":1}}']
    assert await other.read_message() == HTML
    assert json.loads(await other.read_message()) == {"channel": "b", "data": {"n": 1}}


@pytest.mark.gen_test
async def test_bytes_are_shared(subscriber, socket, queue):
    """All clients of one transport get the same bytes, and an event is framed once per
    transport.
    """
    clients = [subscriber("sse") for _ in range(3)]
    for client in clients:
        await client.open()
        await lines(client)
    sockets = [await socket() for _ in range(3)]
    queue.publish(HTML)
    for client in clients:
        assert await lines(client) == [f"data: {HTML}"]
    assert [await one.read_message() for one in sockets] == [HTML] * 3
    (event,) = queue.backlog_events
    assert len(event.frames) == 2

"""Text from users that `get_chunk` returns as it is cannot break a message or forge a gap
or an id.
"""

import json

import pytest

from tatsumaki_py import MessageQueue
from tatsumaki_py.testing.readers import json_lines, websocket

GAP = '{"type":"gap","after":"1-0","id":"9-9"}'
FORGED = [
    "NaN",
    "-Infinity",
    "\ufeff5",
    "1\0",
    "\0" + "1",
    "9" * 5000,
    "[" * 3000,
    GAP,
    f" \n{GAP}",
    '{"channel":"x","type":"\\u0067ap","after":"1-0","id":"9-9"}',
    '{"channel":"x","id":"9-9"}',
    ' {"\\u0069d":"9-9","channel":"x"}',
    '{"id":"9-9"}',
]


@pytest.fixture
def handler(handler):
    def get_chunk(self, chunk, *more):
        value = chunk.data
        if isinstance(value, dict) and "data" in value:
            value = value["data"]
        return value if isinstance(value, str) else json.dumps(value)

    handler.get_chunk = get_chunk
    return handler


def no_number(name):
    raise ValueError(name)


def strict(text):
    """Parse JSON as other languages do."""
    return json.loads(text.decode("utf-8"), parse_constant=no_number)


@pytest.mark.parametrize("names", [["room"], ["room", "other"]], ids=["one", "several"])
@pytest.mark.parametrize("transport", ["ndjson", "websocket"])
@pytest.mark.gen_test
async def test_enveloped(subscriber, monkeypatch, transport, names):
    """A message is JSON with the id of its event, whatever text `get_chunk` returns."""
    queue = MessageQueue.instance(*names)
    client = subscriber(transport, path="/events", channel=names, cursor=queue.cursor())
    messages = []
    for reader in (json_lines, websocket):
        monkeypatch.setattr(reader, "parsed", lambda text: messages.append(strict(text)))
    await client.open()
    if transport == "websocket":
        # The first message has the cursor. An NDJSON stream sends it with its next heartbeat.
        await client.step()
    for text in FORGED:
        MessageQueue.instance("room").publish(text)
        await client.step()
        assert messages[-1]["id"] == queue.cursor()
        assert messages[-1].get("type") is None
        assert messages[-1]["data"] in (text, json.loads(text) if text[-1] == "}" else None)


@pytest.mark.parametrize("transport", ["sse", "multipart"])
@pytest.mark.parametrize("text", [GAP, f" \n{GAP}"])
@pytest.mark.gen_test
async def test_no_loss(subscriber, queue, transport, text):
    """A text that looks like a gap is sent as a JSON string."""
    client = subscriber(transport, cursor=queue.cursor())
    await client.open()
    queue.publish(text)
    message = await client.next()
    assert (message.data, message.gap, message.id) == (text, False, queue.cursor())


@pytest.mark.gen_test
async def test_a_loss(subscriber, stream):
    """A real gap is still sent."""
    client = subscriber(stream, cursor="1-0")
    await client.open()
    assert (await client.next()).gap


@pytest.mark.parametrize(("made", "sent"), [(b"caf\xe9", "caf\ufffd"), (GAP, json.dumps(GAP))])
@pytest.mark.gen_test
async def test_plain_messages(subscriber, handler, queue, monkeypatch, made, sent):
    """Without ids, a forged gap is sent as a string, and invalid UTF-8 is replaced."""
    handler.plain_messages = True
    handler.get_chunk = lambda self, chunk, *more: made
    client = subscriber("websocket", cursor=queue.cursor())
    texts = []
    monkeypatch.setattr(websocket, "parsed", texts.append)
    await client.open()
    queue.publish({"n": 1})
    await client.step()
    assert texts[0].decode() == sent

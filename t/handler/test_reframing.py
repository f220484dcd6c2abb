"""A `get_chunk` or `json` that a class defines also applies to events."""

import json
import re
from typing import ClassVar

import pytest
from support.subscriber import CLIENTS
from support.wire import raw_small, read_chunk, read_head, read_reply, small_buffers, soon  # noqa: F401

from tatsumaki_py import Application, Handler, MessageQueue, SubscribeHandler, WebSocketHandler


class Shouting:
    """A JSON encoder."""

    def encode(self, value):
        return json.dumps(value).upper()


class Reframing(Handler):
    """Frames Server-Sent Events itself, as programs for the original do."""

    asynchronous = True

    def get(self):
        self.response.content_type = "text/event-stream"
        MessageQueue.instance("room").poll(None, self.on_event)

    def on_event(self, *events):
        for event in events:
            self.stream_write(event)

    def get_chunk(self, chunk, *more):
        return b"data: " + super().get_chunk(chunk, *more) + b"\n\n"


class Templates(SubscribeHandler):
    """Writes events as HTML, or leaves them out."""

    def get_chunk(self, chunk, *more):
        if isinstance(chunk, list):
            return super().get_chunk([self.html(event) for event in chunk])
        return self.html(chunk)

    def html(self, event):
        return f"<b>{event['n']}</b>" if event.get("n") else ""


class Codec(SubscribeHandler):
    json = Shouting()


class OfObject(SubscribeHandler):
    def initialize(self):
        self.json = Shouting()


class Socket(WebSocketHandler):
    json = Shouting()

    def open(self):
        MessageQueue.instance("room").poll(None, self.on_event)

    def on_event(self, *events):
        for event in events:
            self.stream_write(event)


class Counting(Handler):
    asynchronous = True
    chunks: ClassVar = []

    def get(self):
        if self.request.param("sse"):
            self.server_sent_events(True)
        elif self.request.param("stream"):
            self.stream_write("a")
        self.finish()

    def get_chunk(self, chunk, *more):
        self.chunks.append(chunk)
        return super().get_chunk(chunk, *more)


class Answer(Codec):
    def get(self):
        queue = MessageQueue.instance("room")
        queue.poll_once(None, self.finish if self.request.param("one") else self.answer, 0)

    def answer(self, *events):
        self.finish(list(events))


@pytest.fixture
def app():
    rules = {"/reframing": Reframing, "/count": Counting, "/socket": Socket, "/answer": Answer}
    kinds = {"templates": Templates, "codec": Codec, "object": OfObject}
    return Application(
        [*rules.items()]
        + [(rf"/{name}/([\w.-]+)", kind) for name, kind in kinds.items()]
        + [(f"/{name}", kind) for name, kind in kinds.items()]
    )


@pytest.fixture
def queue():
    return MessageQueue.instance("room")


@pytest.fixture
def connect(http_server, http_port):
    clients = []

    async def connect(transport, path, **options):
        clients.append(CLIENTS[transport](http_port, path, **options))
        await clients[-1].start()
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


@pytest.fixture
def ask(http_server, http_port, raw):
    async def ask(path, connect=raw):
        client = await connect(http_port)
        await client.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        return client

    return ask


async def body_with(client, text):
    """Returns the body up to the chunk that contains `text`."""
    await read_head(client)
    body = ""
    while text not in body:
        body += (await read_chunk(client)).decode()
    return body


@pytest.mark.gen_test
async def test_a_stream_as_it_is(ask, queue):
    """If the stream has no framing, exactly the bytes of `get_chunk` are sent, also for a gap."""
    client = await ask("/reframing")
    await soon(lambda: queue._audience.roster.streams)
    queue.publish({"n": 1}, {"n": 2})
    assert await body_with(client, '"n":2}\n\n') == 'data: {"n":1}\n\ndata: {"n":2}\n\n'
    client = await ask("/reframing?last_event_id=1-1")
    body = await body_with(client, '"n":2}\n\n')
    assert body.startswith('data: {"type":"gap",')
    assert body.endswith('data: {"n":1}\n\ndata: {"n":2}\n\n')


STREAMS = ["sse", "ndjson", "multipart", "websocket"]


@pytest.mark.parametrize(
    ("transport", "path"),
    # A WebSocket uses the `json` of its outer handler, whether the class or the object has it.
    [*((name, "codec") for name in CLIENTS), *((n, "object") for n in CLIENTS if n != "websocket")],
)
@pytest.mark.gen_test
async def test_a_codec(connect, queue, transport, path):
    """`json` of the class or of the object encodes the events, which keep their ids."""
    client = await connect(transport, f"/{path}/room", timeout=0)
    queue.publish({"text": "a"}, {"text": "b"})
    assert await client.take(2) == [{"TEXT": "A"}, {"TEXT": "B"}]
    assert client.cursor == queue.cursor()


@pytest.mark.parametrize("transport", [*CLIENTS])
@pytest.mark.gen_test
async def test_a_codec_with_several_channels(connect, queue, transport):
    """With several channels, each event still names its channel."""
    transform = {"CHANNEL": "ROOM", "DATA": {"N": 1}}
    client = await connect(transport, "/codec", channel=["hall", "room"], timeout=0)
    queue.publish({"n": 1})
    message = await client.next()
    assert message.data == transform
    assert client.cursor == MessageQueue.instance("hall", "room").cursor()


@pytest.mark.gen_test
async def test_a_websocket_handler(connect, queue):
    """`json` of a `WebSocketHandler` encodes its events."""
    client = await connect("websocket", "/socket")
    queue.publish({"text": "a"})
    assert await client.take(1) == [{"TEXT": "A"}]


@pytest.mark.parametrize("transport", STREAMS)
@pytest.mark.gen_test
async def test_text_in_frames(ask, connect, queue, transport):
    """A result that is not JSON is sent as text, and an empty one is not sent. Each keeps the id of
    its event.
    """
    queue.publish({"n": 1}, {"skipped": True}, {"n": 3})
    cursor = queue.cursor()
    if transport == "multipart":
        client = await ask("/templates/room?transport=multipart&last_event_id=")
        body = await body_with(client, "<b>3</b>")
        parts = re.findall(r"Content-Type: text/plain.*\nLast-Event-ID: (.*)\n\n(.*)\n", body)
        assert [text for _, text in parts] == ["<b>1</b>", "<b>3</b>"]
        assert parts[-1][0] == cursor
    elif transport == "sse":
        client = await ask("/templates/room?transport=sse")
        body = await body_with(client, "<b>3</b>")
        assert re.findall("data: (.*)", body)[1:] == ["<b>1</b>", "<b>3</b>"]
        assert re.findall("id: (.*)", body)[-1] == cursor
    else:
        client = await connect(transport, "/templates/room")
        assert await client.take(2) == ["<b>1</b>", "<b>3</b>"]
        assert client.cursor == cursor


@pytest.mark.parametrize("transport", ["long-poll", "interval-poll"])
@pytest.mark.gen_test
async def test_text_in_lists(ask, queue, transport):
    """`get_chunk` gets the events of one answer as a list."""
    queue.publish({"n": 1})
    reply = await read_reply(await ask(f"/templates/room?transport={transport}"))
    assert json.loads(reply.body) == ["<b>1</b>"]


@pytest.mark.parametrize("query", ["", "?one=1"])
@pytest.mark.gen_test
async def test_answers(ask, queue, query):
    """A handler that answers with a list of events, or with one event."""
    queue.publish({"text": "a"})
    reply = await read_reply(await ask(f"/answer{query}"))
    assert json.loads(reply.body) == ({"TEXT": "A"} if query else [{"TEXT": "A"}])


@pytest.mark.gen_test
async def test_what_a_slow_client_missed(ask, queue, small_buffers, raw_small):  # noqa: F811
    """A client that is cut off resumes after the last event that the kernel took completely."""
    client = await ask("/codec/room?transport=sse&client_id=ann", raw_small)
    await soon(lambda: queue._audience.roster.streams)
    listener = queue.clients["ann"].listener
    first = queue.cursor()
    for number in range(3):
        queue.publish({"n": number, "text": "x" * 200_000})
        assert listener.peer._peer_unsent("room") in (None, first)
    await soon(lambda: listener.peer._peer_unsent("room") == first)
    client.close()


@pytest.mark.parametrize("query", ["", "?stream=1", "?sse=1"])
@pytest.mark.gen_test
async def test_finish_without_a_chunk(ask, query):
    """`finish()` without an argument does not call `get_chunk`."""
    Counting.chunks.clear()
    client = await ask(f"/count{query}")
    await read_reply(client)
    assert Counting.chunks == (["a"] if "stream" in query else [])

"""A queue sends to its streams by cohort, and clients get the same as without cohorts."""

import asyncio

import pytest
from support.wire import iterations, soon

from tatsumaki_py import Application, Handler, MessageQueue, WebSocketHandler
from tatsumaki_py.push.framing import server_sent_events
from tatsumaki_py.push.peer_base import PeerBase
from tatsumaki_py.testing import Ended

ONE = {"path": "/events/room"}
TWO = {"path": "/events", "channel": ["room", "hall"]}


class ByMethod(Handler):
    """A handler that polls with `stream_write` as the callback."""

    asynchronous = True
    made = None

    def get(self):
        type(self).made = self
        self.server_sent_events(True)
        MessageQueue.instance("room").poll("ann", self.stream_write)


class Overridden(ByMethod):
    def stream_write(self, chunk=None, *more):
        return super().stream_write(chunk, *more)


class OwnForm(ByMethod):
    def get_chunk(self, chunk, *more):
        return super().get_chunk({"mine": chunk["n"]})


class OwnCallback(ByMethod):
    def get(self):
        type(self).made = self
        self.server_sent_events(True)
        MessageQueue.instance("room").poll("ann", self.on_event)

    def on_event(self, *events):
        for event in events:
            self.stream_write(event)


class PlainBody(ByMethod):
    def get(self):
        type(self).made = self
        MessageQueue.instance("room").poll("ann", self.stream_write)


class TwoQueues(ByMethod):
    def get(self):
        super().get()
        MessageQueue.instance("hall").poll("ann", self.stream_write)


class Socket(WebSocketHandler):
    made = None

    def open(self):
        Socket.made = self
        MessageQueue.instance("room").poll("ann", self.stream_write)


KINDS = (ByMethod, Overridden, OwnForm, OwnCallback, PlainBody, TwoQueues, Socket)


@pytest.fixture
def app(handler):
    rules = [(rf"/{kind.__name__}", kind) for kind in KINDS]
    return Application([(r"/events/([\w.-]+)", handler), (r"/events", handler), *rules])


def reads(stream):
    """Whether `stream` reads a log itself."""
    return stream.tail is not None


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (ByMethod, True),
        (Overridden, False),
        (OwnForm, False),
        (OwnCallback, False),
        (PlainBody, False),
        (TwoQueues, True),
    ],
)
@pytest.mark.gen_test
async def test_which_callbacks(http_server, http_port, raw, queue, kind, expected):
    """Only an unchanged `stream_write` of a stream of messages reads the log. Any other callback is
    called, and its client gets the same events.
    """
    client = await raw(http_port)
    await client.send(b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n" % kind.__name__.encode())
    await soon(lambda: kind.made)
    handler, kind.made = kind.made, None
    await iterations()
    assert (handler._stream is not None and reads(handler._stream)) == expected
    queue.publish({"n": 1})
    await client.read_until(b'{"mine":1}' if kind is OwnForm else b'{"n":1}')
    MessageQueue.instance("hall").publish({"n": 2})
    if kind is TwoQueues:
        await client.read_until(b'"n":2')


@pytest.mark.gen_test
async def test_subscribe_handler(subscriber, handler, stream):
    """The streams of a `SubscribeHandler` read the log, with one channel or several."""
    queues = [MessageQueue.instance("room"), MessageQueue.instance("hall", "room")]

    def readers():
        return [len(queue._audience.readers) for queue in queues]

    for options, expected in ((ONE, [1, 0]), (TWO, [0, 1])):
        client = subscriber(stream, **options)
        await client.open()
        await soon(lambda expected=expected: readers() == expected)
        client.close()
        await soon(lambda: readers() == [0, 0])


async def everything(client, end):
    """Read all bytes of a stream after its head, up to those of the last event."""
    data = client._buffer
    while b'{"last":true}' not in data or not data.endswith(end):
        data += await client._receive()
    return data


@pytest.mark.parametrize("where", [ONE, TWO])
@pytest.mark.gen_test
async def test_the_same_bytes(
    subscriber, http_server, stream, where, monkeypatch, small_buffers, raw_small
):
    """Clients get the same bytes from a cohort, behind the cohort, and through a separate
    callback.
    """
    monkeypatch.setattr(server_sent_events, "RETRY", (3000, 3000))
    room, hall = MessageQueue.instance("room"), MessageQueue.instance("hall")
    by_log = PeerBase._peer_reads

    def peer_reads(peer, callback):
        assert by_log(peer, callback)
        return peer.request.param("alone") is None

    monkeypatch.setattr(PeerBase, "_peer_reads", peer_reads)
    options = [{}, {}, {"alone": 1}, {"connect": raw_small}, {"connect": raw_small}]
    clients = [subscriber(stream, **where, **each) for each in options]
    for client in clients:
        await client.request()
        await client.connection.read_until(b"\r\n\r\n")
    await iterations()
    for number in range(100):
        for queue in (room, hall):
            queue.publish({"n": number, "text": "\u00e9\n" * number})
        await iterations(number % 4 * 3)
    room.publish({"last": True})
    bodies = []
    for client in clients:
        bodies.append(
            await everything(client.connection, b"}" if stream == "websocket" else b"\r\n")
        )
    assert len({*bodies}) == 1
    assert bodies[0].count(b'"n":') == (100 if where is ONE else 200)


@pytest.mark.gen_test
async def test_messages_of_tornado(subscriber, http_server, http_port, queue):
    """Messages sent with Tornado's methods arrive in order among the events of the log."""
    client = subscriber("websocket", path="/Socket")
    await client.open()
    await soon(lambda: Socket.made)
    handler, Socket.made = Socket.made, None
    assert reads(handler._stream)
    queue.publish({"n": 1})
    handler.write_message({"n": 2})
    queue.publish({"n": 3})
    handler.stream_write({"n": 4})
    handler.write_message({"n": 5})
    queue.publish({"n": 6})
    handler.close()
    assert [data["n"] for data in await client.take(6)] == [1, 2, 3, 4, 5, 6]


@pytest.mark.gen_test
async def test_a_stream_that_ends_under_load(subscriber, handler, queue, clock):
    """A stream ends at `max_stream_time` even while events keep arriving, and no event is lost."""
    handler.max_stream_time = 100.0
    client = subscriber("sse", client_id="ann", cursor=queue.cursor())
    await client.open()
    number = 0
    for _ in range(60):
        for _ in range(10):
            queue.publish({"n": number})
            number += 1
            await asyncio.sleep(0)
        await clock.advance(2.0)
    got = []
    while len(got) < number:
        try:
            got += await client.take(1)
        except Ended:
            await client.open()
    assert [data["n"] for data in got] == [*range(number)]

"""The access log gets one line for each stream, when the stream ends."""

import asyncio
import logging
import re

import pytest
import tornado.log
import tornado.web
from support.subscriber import CLIENTS, STREAMS
from support.wire import read_head, soon

from tatsumaki_py import Application, Handler, MessageQueue, SubscribeHandler, WebSocketHandler


class Tight(Handler):
    """Writes more than `max_buffer` allows."""

    asynchronous = True
    max_buffer = 1000

    def get(self):
        self.json_lines(True)
        MessageQueue.instance("room").poll(None, self.on_new_event)

    def on_new_event(self, *events):
        for event in events:
            self.stream_write({"text": "x" * 100_000, "n": event["n"]})


class Live(WebSocketHandler):
    def open(self):
        MessageQueue.instance("room").poll(None, self.on_new_event)

    def on_new_event(self, *events):
        for event in events:
            self.stream_write(event)


class Count(Handler):
    async def get(self):
        for number in range(3):
            await self.stream_write(f"{number}\n")


RULES = [
    (r"/events/(\w+)", SubscribeHandler),
    ("/tight", Tight),
    ("/live", Live),
    ("/count", Count),
]
TIME = r"[\d.]+ms"


@pytest.fixture(params=[Application, tornado.web.Application])
def kind(request):
    return request.param


@pytest.fixture
def app(kind):
    return kind(RULES)


@pytest.fixture
def subscriber(http_server, http_port):
    made = []

    def subscriber(transport, path="/events/room", **options):
        made.append(CLIENTS[transport](http_port, path, **options))
        return made[-1]

    yield subscriber
    for client in made:
        client.close()


@pytest.fixture
def queue():
    return MessageQueue.instance("room")


async def messages(access_log, count=1):
    """The texts of the lines in the access log, once there are at least `count`."""
    await soon(lambda: len(access_log()) >= count)
    # An unexpected line would be logged now.
    await asyncio.sleep(0.01)
    return [record.getMessage() for record in access_log()]


@pytest.mark.parametrize("transport", STREAMS)
@pytest.mark.gen_test
async def test_a_client_that_leaves(subscriber, queue, access_log, app, transport):
    """The line has the transport, reason, events, bytes, time, and URL without the client id."""
    client = subscriber(transport, client_id="secret")
    head = await client.open()
    before = len(client._reader._body)
    queue.publish({"n": 1})
    queue.publish({"n": 2})
    await client.take(2)
    assert access_log() == []
    client.close()
    (line,) = await messages(access_log)
    end = "lost" if transport == "websocket" else "closed"
    url = re.escape(f"/events/room?transport={transport}&client_id=...") + r"\S*"
    what = rf"{transport} {end}, 2 events, (\d+) bytes"
    found = re.fullmatch(rf"{head.status} GET {url} \(127\.0\.0\.1\) {what} {TIME}", line)
    assert found, line
    assert int(found[1]) > before


@pytest.mark.gen_test
async def test_the_server_ends_it(ask, subscriber, queue, access_log, app):
    """The line says "finished" if the server ended the stream, and "closed" after a close frame."""
    await (await ask("GET /count")).read_all()
    assert re.fullmatch(
        rf"200 GET /count \(127.0.0.1\) stream finished, 0 events, \d+ bytes {TIME}",
        (await messages(access_log))[0],
    )
    client = subscriber("sse")
    await client.open()
    queue.disconnect()
    assert "sse finished, 0 events" in (await messages(access_log, 2))[1]
    queue.backlog_length = 0
    for path in ("/live", "/events/room"):
        client = subscriber("websocket", path)
        await client.open()
        queue.publish({"n": 1})
        await client.take(1)
        seen = len(access_log())
        await client.connection.send(b"\x88\x82\0\0\0\0\x03\xe8")
        line = (await messages(access_log, seen + 1))[seen]
        assert re.search(rf"^101 GET {path}.* websocket closed, 1 events, \d+ bytes {TIME}$", line)


@pytest.mark.gen_test
async def test_cut_off(ask, queue, access_log, app):
    """The line of a stream whose client does not read says "slow"."""
    client = await ask("GET /tight")
    await read_head(client)
    for number in range(100):
        queue.publish({"n": number})
        await asyncio.sleep(0)
    line = (await messages(access_log))[0]
    assert " ndjson slow, " in line


@pytest.mark.gen_test
async def test_frames_that_are_refused(subscriber, access_log, app):
    """The line of a WebSocket whose client sent an invalid frame contains the reason."""
    for head, reason in (
        (b"\x81\xfe\xff\xff\0\0\0\0", "too_big"),
        (b"\x85\x80\0\0\0\0", "protocol_error"),
    ):
        client = subscriber("websocket")
        await client.open()
        seen = len(access_log())
        await client.connection.send(head)
        line = (await messages(access_log, seen + 1))[seen]
        assert f" websocket {reason}, 0 events" in line


@pytest.mark.gen_test
async def test_log_function(subscriber, queue, app):
    """`log_function` is called once, with the handler and the counters of its stream."""
    said = []
    queue.backlog_length = 0
    app.settings["log_function"] = lambda handler: said.append((type(handler), handler.stream_info))
    for path, kind in (("/events/room", SubscribeHandler), ("/live", Live)):
        client = subscriber("websocket", path)
        await client.open()
        queue.publish({"n": 1})
        await client.take(1)
        client.close()
        await soon(lambda: said)
        ((seen, info),) = said
        assert (seen, info.transport, info.events, info.end) == (kind, "websocket", 1, "lost")
        assert info.bytes > len('{"n":1}')
        said.clear()


@pytest.mark.gen_test
async def test_pretty_logging(subscriber, app, caplog):
    """Tornado's `LogFormatter` formats the line of a stream."""
    caplog.set_level(logging.INFO, "tornado.access")
    client = subscriber("sse")
    await client.open()
    client.close()
    await soon(lambda: caplog.records)
    text = tornado.log.LogFormatter(color=False).format(caplog.records[0])
    assert re.search(r"^\[I .* sse closed, 0 events, \d+ bytes [\d.]+ms$", text)

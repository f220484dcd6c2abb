"""Any JSON value can be framed by each framing, with its id and on one line."""

import json

from hypothesis import example, given
from support.json_values import ANY

from tatsumaki_py.message_queue.event import Entry, encode
from tatsumaki_py.push.framing import Option
from tatsumaki_py.push.framing.json_lines import JSONLines
from tatsumaki_py.push.framing.multipart import Multipart
from tatsumaki_py.push.framing.server_sent_events import ServerSentEvents
from tatsumaki_py.push.framing.websocket import WebSocket


@given(ANY)
@example("\r\n\x85\u2028\u2029")
@example(Multipart.boundary)
@example({"type": "join"})
@example([{"type": "\r\n"}])
def test_framed(value):
    """A client reads the value that was published."""
    entry = Entry(encode(value), "5-0")
    sse = ServerSentEvents.of(Option.IDS | Option.TYPES).event(entry).decode()
    *fields, data, last, end = sse.split("\n")
    assert (len(sse.splitlines()), last, end) == (len(fields) + 2, "", "")
    assert same(data.removeprefix("data: "), value)
    assert fields[-1] == "id: 5-0"

    line = JSONLines.of().event(entry).decode()
    assert line.splitlines() == [line[:-1]]
    assert same(line, {"id": "5-0", "data": value})

    part = Multipart.of(Option.IDS).event(entry)
    head, body = part.removesuffix(f"\n--{Multipart.boundary}\n".encode()).split(b"\n\n", 1)
    assert head == b"Content-Type: application/json\nLast-Event-ID: 5-0"
    assert same(body, value)

    assert same(WebSocket.of().event(entry), {"id": "5-0", "data": value})
    assert same(WebSocket.of(Option.PLAIN).event(entry), value)


def same(text, value):
    """Whether `text` is the JSON of `value`, with the same types: 0 is not False."""
    return json.dumps(json.loads(text)) == json.dumps(value)

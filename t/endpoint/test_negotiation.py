"""Which transport a client gets."""

import pytest
from support.wire import read_head, read_reply

pytestmark = pytest.mark.both_servers

MEDIA_TYPES = {
    "sse": "text/event-stream",
    "ndjson": "application/x-ndjson",
    "multipart": "multipart/mixed",
    "long-poll": "application/json",
    "interval-poll": "application/json",
}


@pytest.fixture
def fetch(http_server, http_port, raw):
    """The head of the answer to a request, with what is in the channel already."""

    async def fetch(query="", method="GET", version="HTTP/1.1", path="/events/room", **headers):
        client = await raw(http_port)
        fields = {"Host": "localhost"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        await client.send(f"{method} {path}?{query} {version}\r\n{lines}\r\n".encode())
        head = await read_head(client)
        if head.status != 200 or "content-length" in head.headers:
            client._buffer = _again(head) + client._buffer
            head = await read_reply(client, method)
        return head

    return fetch


def _again(head):
    fields = "".join(f"{name}: {value}\r\n" for name, value in head.headers.items())
    return f"{head.line}\r\n{fields}\r\n".encode("latin-1")


@pytest.mark.parametrize(
    ("accept", "transport"),
    [
        ("text/event-stream", "sse"),
        ("TEXT/Event-Stream", "sse"),
        ("text/*", "sse"),
        ("application/x-ndjson", "ndjson"),
        ("application/ndjson", "ndjson"),
        ("application/jsonl", "ndjson"),
        ("multipart/mixed", "multipart"),
        ("application/json", "long-poll"),
        ("*/*", "long-poll"),
        ("", "long-poll"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "long-poll"),
        ("application/json;q=0.5, text/event-stream", "sse"),
        ("text/event-stream; q=0.1, application/x-ndjson ; q=0.2", "ndjson"),
        ("text/event-stream;q=0, application/json", "long-poll"),
        ("text/event-stream;q=x, application/x-ndjson;q=0.1", "ndjson"),
        ("text/event-stream;charset=utf-8;q=1, */*", "sse"),
        ("text/event-stream;q=inf, application/x-ndjson;q=0.1", "ndjson"),
        ("text/event-stream;q=0, text/*, application/json;q=0.1", "long-poll"),
        ("application/json;q=0.1, text/event-stream, application/json;q=1.0", "long-poll"),
    ],
)
@pytest.mark.gen_test
async def test_accept(fetch, queue, accept, transport):
    """The best that the header Accept names."""
    queue.publish({"n": 1})
    head = await fetch(Accept=accept)
    assert head.status == 200
    assert head.headers["content-type"].startswith(MEDIA_TYPES[transport])


@pytest.mark.gen_test
async def test_without_accept(fetch, queue):
    """A long poll is what everybody can."""
    queue.publish({"n": 1})
    reply = await fetch()
    assert (reply.status, reply.body) == (200, b'[{"n":1}]')
    assert reply.headers["last-event-id"] == queue.cursor()
    assert reply.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("transport", MEDIA_TYPES)
@pytest.mark.gen_test
async def test_parameter(fetch, queue, transport):
    """?transport= wins over Accept."""
    queue.publish({"n": 1})
    head = await fetch(f"transport={transport}", Accept="image/png")
    assert head.headers["content-type"].startswith(MEDIA_TYPES[transport])


@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "image/*",
        "text/event-stream;q=0",
        "text/event-stream;q=0, text/*",
        "application/json;q=0, */*",
        "*/*;q=nan",
        ";",
        ",",
    ],
)
@pytest.mark.gen_test
async def test_not_acceptable(fetch, accept):
    """406 that says what there is."""
    reply = await fetch(Accept=accept)
    assert reply.status == 406
    assert b"text/event-stream, application/x-ndjson" in reply.body


@pytest.mark.gen_test
async def test_an_accept_header_without_end(fetch, queue):
    """A hundred entries are read; more than that are refused."""
    queue.publish({"n": 1})
    entries = ["text/html"] * 99
    head = await fetch(Accept=",".join([*entries, "text/event-stream"]))
    assert head.headers["content-type"].startswith("text/event-stream")
    reply = await fetch(Accept=",".join([*entries, "text/html", "text/event-stream"]))
    assert (reply.status, reply.body) == (406, b"the header Accept has more than 100 entries")


@pytest.mark.parametrize("name", ["x", "SSE", "sse%0d%0aX-Evil:1", "%00", "\N{SNOWMAN}"])
@pytest.mark.gen_test
async def test_unknown(fetch, name):
    """400 that says what there is, and nothing of what was asked."""
    reply = await fetch(f"transport={name}".encode().decode("latin-1"))
    assert reply.status == 400
    assert reply.body == (
        b"transport must be one of sse, websocket, ndjson, multipart, long-poll, interval-poll"
    )


@pytest.mark.gen_test
async def test_websocket_without_handshake(fetch):
    """It cannot be had by asking for it."""
    assert (await fetch("transport=websocket")).status == 426


@pytest.mark.parametrize("timeout", ["-1", "x", "nan", "1e", "0x1"])
@pytest.mark.gen_test
async def test_bad_timeout(fetch, timeout):
    """400 for what is no time."""
    reply = await fetch(f"timeout={timeout}")
    assert (reply.status, reply.body) == (400, b"timeout must be a number of seconds, 0 or more")


@pytest.mark.parametrize(("timeout", "seconds"), [("", 25), ("4", 4), ("inf", 25), ("1e9", 25)])
@pytest.mark.gen_test
async def test_timeout(http_server, http_port, raw, queue, clock, timeout, seconds):
    """A long poll ends when the client wants, and not later than the handler wants."""
    client = await raw(http_port)
    await client.send(f"GET /events/room?timeout={timeout} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    while not queue.clients:
        await clock.advance(0)
    await clock.advance(seconds * 0.89)
    assert next(iter(queue.clients.values())).listener is not None
    await clock.advance(seconds * 0.12)
    reply = await read_reply(client)
    assert (reply.status, reply.body) == (200, b"[]")


@pytest.mark.parametrize("transport", MEDIA_TYPES)
@pytest.mark.gen_test
async def test_head(fetch, queue, transport):
    """HEAD is answered at once, and makes nobody a subscriber."""
    reply = await fetch(f"transport={transport}", "HEAD")
    assert (reply.status, reply.body) == (200, b"")
    assert reply.headers["content-type"].startswith(MEDIA_TYPES[transport])
    assert not queue.clients


@pytest.mark.gen_test
async def test_channel_parameters(fetch):
    """A route without groups takes its channel from the query; one there has to be."""
    for query, missing in (("channel=a", False), ("", True), ("channel=", True)):
        reply = await fetch(f"{query}&transport=interval-poll", path="/events")
        assert reply.status == (400 if missing else 200)
        assert (reply.body == b"missing parameter: channel") == missing


@pytest.mark.gen_test
async def test_too_many_channels(fetch):
    """There is a limit to what one request may hold."""
    query = "&".join(f"channel=c{number}" for number in range(21))
    reply = await fetch(query, path="/events")
    assert (reply.status, reply.body) == (400, b"21 channels, but at most 20 are allowed")


@pytest.mark.gen_test
async def test_stream_headers(fetch):
    """What keeps those between from keeping events."""
    for transport in ("sse", "ndjson", "multipart"):
        headers = (await fetch(f"transport={transport}", Accept_Encoding="gzip")).headers
        assert headers["cache-control"] == "no-store, no-transform"
        assert headers["x-accel-buffering"] == "no"
        assert headers["x-content-type-options"] == "nosniff"
        assert "content-encoding" not in headers


@pytest.mark.gen_test
async def test_event_type(subscriber, queue):
    """The type of an event is the event of an EventSource, if that is asked for."""
    queue.publish({"type": "join"}, {"type": "error"})
    for asked, types in (("1", ["join", None]), ("0", [None, None])):
        client = subscriber("sse", event_type=asked)
        await client.open()
        for name in types:
            assert (await client.next()).event == name

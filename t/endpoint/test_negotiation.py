"""The query and the header `Accept` choose the transport of a client."""

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
    """Send a request and read the head of its answer, and the body if it has a length."""

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
    """The best supported type in the header `Accept` chooses the transport."""
    queue.publish({"n": 1})
    head = await fetch(Accept=accept)
    assert head.status == 200
    assert head.headers["content-type"].startswith(MEDIA_TYPES[transport])


@pytest.mark.gen_test
async def test_without_accept(fetch, queue):
    """A client without `Accept` gets a long poll."""
    queue.publish({"n": 1})
    reply = await fetch()
    assert (reply.status, reply.body) == (200, b'[{"n":1}]')
    assert reply.headers["last-event-id"] == queue.cursor()
    assert reply.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("transport", MEDIA_TYPES)
@pytest.mark.gen_test
async def test_parameter(fetch, queue, transport):
    """The parameter `transport` takes precedence over `Accept`."""
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
    """If no type in `Accept` is supported, the answer is a 406 that lists the supported types."""
    reply = await fetch(Accept=accept)
    assert reply.status == 406
    assert b"text/event-stream, application/x-ndjson" in reply.body


@pytest.mark.gen_test
async def test_an_accept_header_without_end(fetch, queue):
    """A header `Accept` may have 100 entries; one with more is refused."""
    queue.publish({"n": 1})
    entries = ["text/html"] * 99
    head = await fetch(Accept=",".join([*entries, "text/event-stream"]))
    assert head.headers["content-type"].startswith("text/event-stream")
    reply = await fetch(Accept=",".join([*entries, "text/html", "text/event-stream"]))
    assert (reply.status, reply.body) == (406, b"the header Accept has more than 100 entries")


@pytest.mark.parametrize("name", ["x", "SSE", "sse%0d%0aX-Evil:1", "%00", "\N{SNOWMAN}"])
@pytest.mark.gen_test
async def test_unknown(fetch, name):
    """An unknown transport is answered with a 400 that lists the transports and does not repeat the
    request.
    """
    reply = await fetch(f"transport={name}".encode().decode("latin-1"))
    assert reply.status == 400
    assert reply.body == (
        b"transport must be one of sse, websocket, ndjson, multipart, long-poll, interval-poll"
    )


@pytest.mark.gen_test
async def test_websocket_without_handshake(fetch):
    """`transport=websocket` without a handshake is answered with 426."""
    assert (await fetch("transport=websocket")).status == 426


@pytest.mark.parametrize("timeout", ["-1", "x", "nan", "1e", "0x1"])
@pytest.mark.gen_test
async def test_bad_timeout(fetch, timeout):
    """A `timeout` that is not a number of seconds is answered with 400."""
    reply = await fetch(f"timeout={timeout}")
    assert (reply.status, reply.body) == (400, b"timeout must be a number of seconds, 0 or more")


@pytest.mark.parametrize(("timeout", "seconds"), [("", 25), ("4", 4), ("inf", 25), ("1e9", 25)])
@pytest.mark.gen_test
async def test_timeout(http_server, http_port, raw, queue, clock, timeout, seconds):
    """A long poll ends after the client's timeout, but no later than after that of the handler."""
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
    """A HEAD request is answered immediately, and its client does not become a subscriber."""
    reply = await fetch(f"transport={transport}", "HEAD")
    assert (reply.status, reply.body) == (200, b"")
    assert reply.headers["content-type"].startswith(MEDIA_TYPES[transport])
    assert not queue.clients


@pytest.mark.gen_test
async def test_channel_parameters(fetch):
    """A route without groups takes its channel from the query, which must name one."""
    for query, missing in (("channel=a", False), ("", True), ("channel=", True)):
        reply = await fetch(f"{query}&transport=interval-poll", path="/events")
        assert reply.status == (400 if missing else 200)
        assert (reply.body == b"missing parameter: channel") == missing


@pytest.mark.gen_test
async def test_too_many_channels(fetch):
    """A request for too many channels is answered with 400."""
    query = "&".join(f"channel=c{number}" for number in range(21))
    reply = await fetch(query, path="/events")
    assert (reply.status, reply.body) == (400, b"21 channels, but at most 20 are allowed")


@pytest.mark.gen_test
async def test_stream_headers(fetch):
    """The headers of a stream keep proxies from buffering or compressing events."""
    for transport in ("sse", "ndjson", "multipart"):
        headers = (await fetch(f"transport={transport}", Accept_Encoding="gzip")).headers
        assert headers["cache-control"] == "no-store, no-transform"
        assert headers["x-accel-buffering"] == "no"
        assert headers["x-content-type-options"] == "nosniff"
        assert "content-encoding" not in headers


@pytest.mark.gen_test
async def test_event_type(subscriber, queue):
    """With `event_type=1`, the type of an event is the type of the Server-Sent Event."""
    queue.publish({"type": "join"}, {"type": "error"})
    for asked, types in (("1", ["join", None]), ("0", [None, None])):
        client = subscriber("sse", event_type=asked)
        await client.open()
        for name in types:
            assert (await client.next()).event == name

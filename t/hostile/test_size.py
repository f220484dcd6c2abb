"""Large input of every kind is answered or refused, and memory stays bounded."""

import asyncio
import json

import pytest
from support.wire import read_reply, soon

from tatsumaki_py import MessageQueue


@pytest.mark.parametrize(
    "target",
    [
        "/echo?a=" + "x" * 60_000,
        "/echo?a=" + "x" * 200_000,
        "/" + "x" * 60_000,
        "/chat/" + "x" * 60_000,
        "/echo/" + "/" * 60_000,
        "/chat/" + "x" * 2000 + "/poll?client_id=1",
        "/chat/room/poll?client_id=" + "x" * 60_000,
    ],
    ids=lambda target: target[:20] + str(len(target)),
)
@pytest.mark.gen_test
async def test_overlong_urls(server, target):
    """A long URL gets an answer or a 4xx, or no answer if the head has 64 KB or more."""
    reply = await server.get(target)
    assert reply is None or reply.status == 200 or 400 <= reply.status < 500
    await server.is_well()


@pytest.mark.parametrize(
    "header",
    [
        "X: " + "y" * 60_000,
        "X: " + "y" * 200_000,
        "Y" * 60_000 + ": x",
        "Cookie: " + "a=b; " * 12_000,
        "\r\n".join(f"X{n}: y" for n in range(3000)),
        "\r\n".join(["X: y"] * 6000),
    ],
    ids=lambda header: header[:8] + str(len(header)),
)
@pytest.mark.gen_test
async def test_overlong_headers(server, header):
    """Long headers are accepted up to a head of 64 KB."""
    reply = await server.get("/echo", header)
    assert reply is None or reply.status == 200 or 400 <= reply.status < 500
    await server.is_well()


@pytest.mark.parametrize(
    "body",
    [
        b"&".join(b"a%d=%d" % (n, n) for n in range(10_000)),
        b"a=1&" * 50_000,
        b"&" * 500_000,
        b"=" * 500_000,
        b"%" * 500_000,
        b"a" * 1_000_000,
        b"a[" * 100_000 + b"=1",
    ],
    ids=lambda body: body[:6].decode() + str(len(body)),
)
@pytest.mark.gen_test
async def test_forms_without_end(server, body):
    """A form with thousands of fields, or a megabyte of separators, gets an answer or a 400."""
    reply = await server.post("/echo", body)
    assert reply.status in (200, 400)
    await server.is_well()


MULTIPART = [
    b"",
    b"--B",
    b"--B--",
    b"--B\r\n\r\n--B--",
    b"--B\r\nContent-Disposition: form-data\r\n\r\nx\r\n--B--\r\n",
    b'--B\r\nContent-Disposition: form-data; name="text"\r\n\r\nx',
    b'--B\r\nContent-Disposition: form-data; name="text\r\n\r\nx\r\n--B--\r\n',
    b'--B\r\nContent-Disposition: attachment; name="text"\r\n\r\nx\r\n--B--\r\n',
    b'--B\r\nContent-Disposition: form-data; name="\xff\x00"\r\n\r\nx\r\n--B--\r\n',
    b"--B\r\nno colon\r\n\r\nx\r\n--B--\r\n",
    b'--B\r\nContent-Disposition: form-data; name="f"; filename="../../x"\r\n\r\nx\r\n--B--\r\n',
    b"--B\r\nContent-Disposition: form-data; name=f; filename*=utf-8''%ff%fe\r\n\r\nx\r\n--B--",
    b'--B\r\nContent-Disposition: form-data; name="f"; filename*=x\r\n\r\nx\r\n--B--\r\n',
    b"\r\n--B" * 20_000,
    b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n' * 2_000 + b"--B--\r\n",
    b"--B\r\n" + b"X: y\r\n" * 20_000 + b"\r\nx\r\n--B--\r\n",
    b"--B\r\nContent-Disposition: " + b";" * 100_000 + b"\r\n\r\nx\r\n--B--\r\n",
]


@pytest.mark.parametrize("body", MULTIPART, ids=range(len(MULTIPART)))
@pytest.mark.gen_test
async def test_malformed_multipart(server, body):
    """A malformed multipart body is read as a form, or gets a 400 or 413."""
    reply = await server.post("/echo", body, "Content-Type: multipart/form-data; boundary=B")
    assert reply.status in (200, 400, 413)
    await server.is_well()


@pytest.mark.parametrize(
    "type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=" + "x" * 5000,
        'multipart/form-data; boundary="',
        "multipart/form-data; boundary=\xff",
        "multipart/form-data; boundary*=x",
        "a" * 5000,
        ";;;",
        "application/x-www-form-urlencoded; charset=x",
        "application/json",
    ],
)
@pytest.mark.gen_test
async def test_content_types(server, type):
    """A body with an invalid type has no fields, or gets a 400."""
    reply = await server.post("/echo", b"--x\r\n\r\n", b"Content-Type: " + type.encode("latin-1"))
    assert reply.status in (200, 400)
    await server.is_well()


@pytest.mark.parametrize("coding", ["gzip", "x"])
@pytest.mark.gen_test
async def test_compressed_bodies(server, coding):
    """A compressed body is neither decompressed nor read as a form."""
    reply = await server.post("/echo", b"\x1f\x8b\x08" + bytes(100), f"Content-Encoding: {coding}")
    assert reply.status == 415
    await server.is_well()


@pytest.mark.gen_test
async def test_texts_of_a_megabyte(server, queue):
    """A text just below the limit is published, one above it gets a 413. A room keeps a bounded
    number of bytes.
    """
    reply = await server.post("/chat/room/post", b"text=" + b"x" * (1 << 20))
    assert reply.status == 413
    queue.buffer_size = 3_000_000
    for _ in range(5):
        reply = await server.post("/chat/room/post", b"text=" + b"x" * 1_000_000)
        assert reply.status == 200
    assert 1 <= len(queue.backlog_events) <= 3
    # Escaping makes the text longer than it was sent.
    assert (await server.post("/chat/room/post", b"text=" + b"'" * 300_000)).status == 413
    assert (await server.post("/chat/room/post", b"text=" + b"\x01" * 300_000)).status == 413
    await server.is_well()


@pytest.mark.gen_test
async def test_deep_nesting_is_text(server, queue):
    """In a form, a million brackets are plain text."""
    reply = await server.post("/chat/room/post", b"text=" + b"[" * 500_000)
    assert reply.status == 200
    assert queue.backlog_events[0]["html"] == "[" * 500_000


@pytest.fixture
def limits(monkeypatch):
    """Sets low limits."""
    monkeypatch.setattr(MessageQueue, "max_channels", 5)
    monkeypatch.setattr(MessageQueue, "max_clients", 10)
    monkeypatch.setattr(MessageQueue, "reconnect_time", 30.0)


async def polls(server, rooms, clients):
    """Connects a client for each pair of room and name."""
    connections = []
    for room in rooms:
        for client in clients:
            connections.append(
                await server.connect(
                    f"GET /chat/{room}/poll?client_id={client} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
                )
            )
    return connections


@pytest.mark.gen_test
async def test_too_many_rooms(limits, server, clock):
    """If all allowed rooms have messages and clients, a message to another room gets a 503, until a
    room becomes empty.
    """
    for room in "abcde":
        assert (await server.post(f"/chat/{room}/post", b"text=a")).status == 200
    waiting = await polls(server, "abcde", "1")
    for poll in waiting:
        await read_reply(poll)
    waiting = await polls(server, "abcde", "1")
    await soon(lambda: not MessageQueue._registry.deserted)
    reply = await server.post("/chat/f/post", b"text=a")
    assert (reply.status, reply.body) == (503, b"too many channels")
    await server.is_well()
    assert (await server.post("/chat/a/post", b"text=a")).status == 200
    assert (await read_reply(waiting[0])).status == 200
    waiting[1].close()
    await asyncio.sleep(0.01)
    await clock.advance(31)
    assert (await server.post("/chat/f/post", b"text=a")).status == 200


@pytest.mark.gen_test
async def test_rooms_that_were_used_once(limits, server):
    """Each new room can be posted to, and the oldest rooms are dropped."""
    for number in range(20):
        assert (await server.post(f"/chat/r{number}/post", b"text=a")).status == 200
    assert len(MessageQueue._registry.active) == 5
    reply = await server.get("/chat/r19/poll?client_id=1")
    assert json.loads(reply.body)[0]["html"] == "a"


@pytest.mark.gen_test
async def test_too_many_clients(limits, server, clock):
    """A client beyond the limit gets a 503, for a long poll or a stream, until others have left."""
    waiting = await polls(server, "a", range(10))
    await soon(lambda: MessageQueue._registry.clients == 10)
    for kind in ("poll", "mxhrpoll"):
        reply = await server.get(f"/chat/a/{kind}?client_id=new")
        assert reply is not None, "a stream began and broke off"
        assert (reply.status, reply.body) == (503, b"too many clients")
    # Known clients are served, and other clients can publish.
    assert (await server.post("/chat/a/post", b"text=a")).status == 200
    for client in waiting:
        assert (await read_reply(client)).status == 200
    await clock.advance(31)
    assert (await server.get("/chat/a/poll?client_id=new")).status == 200


@pytest.mark.gen_test
async def test_ids_that_are_used_once(limits, server, queue, clock):
    """Requests that each have a new id are refused beyond the limit, until some ids are dropped."""
    queue.publish({"n": 1})
    statuses = [
        (await server.get(f"/chat/room/poll?client_id={number}")).status for number in range(12)
    ]
    assert statuses == [200] * 10 + [503] * 2
    await clock.advance(31)
    assert (await server.get("/chat/room/poll?client_id=new")).status == 200

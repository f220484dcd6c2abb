"""Much of everything: answered or refused, and the memory has bounds."""

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
    """An answer or a 4xx (or no answer from 64 KB of head on)."""
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
    """Up to 64 KB of head they are taken."""
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
    """Thousands of fields, or a megabyte of none: an answer or 400."""
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
    """A form, or a 400 or 413."""
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
    """A type that is none: no fields, or a 400."""
    reply = await server.post("/echo", b"--x\r\n\r\n", b"Content-Type: " + type.encode("latin-1"))
    assert reply.status in (200, 400)
    await server.is_well()


@pytest.mark.parametrize("coding", ["gzip", "x"])
@pytest.mark.gen_test
async def test_compressed_bodies(server, coding):
    """Bodies are not unpacked (so there are no bombs), and not read as they are."""
    reply = await server.post("/echo", b"\x1f\x8b\x08" + bytes(100), f"Content-Encoding: {coding}")
    assert reply.status == 415
    await server.is_well()


@pytest.mark.gen_test
async def test_texts_of_a_megabyte(server, queue):
    """Just below the limit is sent on, above is 413; what a room keeps is bounded by bytes."""
    reply = await server.post("/chat/room/post", b"text=" + b"x" * (1 << 20))
    assert reply.status == 413
    queue.buffer_size = 3_000_000
    for _ in range(5):
        reply = await server.post("/chat/room/post", b"text=" + b"x" * 1_000_000)
        assert reply.status == 200
    assert 1 <= len(queue.backlog_events) <= 3
    # Escaping makes it longer than what came in.
    assert (await server.post("/chat/room/post", b"text=" + b"'" * 300_000)).status == 413
    assert (await server.post("/chat/room/post", b"text=" + b"\x01" * 300_000)).status == 413
    await server.is_well()


@pytest.mark.gen_test
async def test_deep_nesting_is_text(server, queue):
    """A million brackets are just characters."""
    reply = await server.post("/chat/room/post", b"text=" + b"[" * 500_000)
    assert reply.status == 200
    assert queue.backlog_events[0]["html"] == "[" * 500_000


@pytest.fixture
def limits(monkeypatch):
    """Room for few."""
    monkeypatch.setattr(MessageQueue, "max_channels", 5)
    monkeypatch.setattr(MessageQueue, "max_clients", 10)
    monkeypatch.setattr(MessageQueue, "reconnect_time", 30.0)


async def polls(server, rooms, clients):
    """A connected client for each pair."""
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
    """With messages and people in all rooms there may be, a message in one more is 503; a room that
    empties makes room.
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
    """Posting into ever new rooms is answered, and the oldest are forgotten."""
    for number in range(20):
        assert (await server.post(f"/chat/r{number}/post", b"text=a")).status == 200
    assert len(MessageQueue._registry.active) == 5
    reply = await server.get("/chat/r19/poll?client_id=1")
    assert json.loads(reply.body)[0]["html"] == "a"


@pytest.mark.gen_test
async def test_too_many_clients(limits, server, clock):
    """One more than there may be is 503, long poll and stream alike, and it recovers."""
    waiting = await polls(server, "a", range(10))
    await soon(lambda: MessageQueue._registry.clients == 10)
    for kind in ("poll", "mxhrpoll"):
        reply = await server.get(f"/chat/a/{kind}?client_id=new")
        assert reply is not None, "a stream began and broke off"
        assert (reply.status, reply.body) == (503, b"too many clients")
    # Who is known is served, and others are not kept from publishing.
    assert (await server.post("/chat/a/post", b"text=a")).status == 200
    for client in waiting:
        assert (await read_reply(client)).status == 200
    await clock.advance(31)
    assert (await server.get("/chat/a/poll?client_id=new")).status == 200


@pytest.mark.gen_test
async def test_ids_that_are_used_once(limits, server, queue, clock):
    """Each request another id: too many are refused, until some are forgotten."""
    queue.publish({"n": 1})
    statuses = [
        (await server.get(f"/chat/room/poll?client_id={number}")).status for number in range(12)
    ]
    assert statuses == [200] * 10 + [503] * 2
    await clock.advance(31)
    assert (await server.get("/chat/room/poll?client_id=new")).status == 200

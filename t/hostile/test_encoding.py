"""Percent signs, invalid UTF-8, NUL and line ends in paths, queries, forms and cookies."""

import json

import pytest

BAD = ["%", "%z", "%zz", "%4", "%%41", "%u2603", "%c3%28", "%ff%fe", "%ed%a0%80", "%f5%80%80%80"]


@pytest.mark.parametrize("text", [*BAD, "%00", "%0d%0aX:1", "%e2%80%a8", "%1b[31m", "%c2%9b31m"])
@pytest.mark.gen_test
async def test_in_the_query(server, text):
    """In a query, invalid percent-encoding stays as it is, and invalid UTF-8 is replaced."""
    reply = await server.get(f"/echo?a={text}&{text}=b")
    assert reply.status == 200
    fields = json.loads(reply.body)["fields"]
    assert isinstance(fields["a"], str)
    assert len(fields) == 2
    await server.is_well()


@pytest.mark.parametrize("text", [*BAD, "%00", "%0d%0aX:1", "\xff\xfe", "\x00", "a\r\nb"])
@pytest.mark.gen_test
async def test_in_a_form(server, text):
    """A form is decoded like a query; unencoded bytes are accepted."""
    reply = await server.post("/echo", f"a={text}&b=1&{text}=c".encode("latin-1"))
    assert reply.status == 200
    assert json.loads(reply.body)["fields"]["b"] == "1"
    await server.is_well()


@pytest.mark.parametrize("text", [*BAD, "%00", "%0a", "%0d%0aX:1", "%1b[31m", "%c2%9b31m", "a;b"])
@pytest.mark.parametrize(
    ("target", "statuses"),
    [
        ("/echo/{}", {200, 400}),
        ("/chat/{}", {404}),
        ("/chat/{}/poll?client_id=1", {404}),
        ("/static/{}", {400, 403, 404}),
        ("/{}", {404}),
        ("{}", {400, 404}),
    ],
)
@pytest.mark.gen_test
async def test_in_the_path(server, target, statuses, text):
    """A path is found or not found. It never causes a 500, and is escaped in the log."""
    reply = await server.get(target.format(text))
    assert reply.status in statuses
    await server.is_well()


@pytest.mark.parametrize(
    "byte", [b"\x00", b"\x01", b"\t", b"\x1b", b"\x7f", b"\x80", b"\x9b", b"\xff"]
)
@pytest.mark.parametrize("place", ["/echo/{}", "/echo?a={}", "/no{}"])
@pytest.mark.gen_test
async def test_raw_bytes_in_the_target(server, byte, place):
    """Bytes that are not allowed in a URL are refused, or stand for themselves."""
    reply = await server.get(place.encode().replace(b"{}", byte))
    assert reply.status in (200, 400, 404)
    await server.is_well()


@pytest.mark.parametrize(
    "cookie", [b"a", b"=", b";;;", b"a=\xff", b'a="\\x', b"a=\x00", b"$x=1; a=b", b"a=b; a=c"]
)
@pytest.mark.gen_test
async def test_cookies(server, cookie):
    """A malformed cookie is ignored, or the request is refused."""
    reply = await server.get("/echo", b"Cookie: " + cookie)
    assert reply.status in (200, 400)
    await server.is_well()


@pytest.mark.parametrize(
    "client_id", ["%00", "%0d%0aevil", "%1b]0;x%07", "%ff", "%c2%85", "a" * 1024]
)
@pytest.mark.gen_test
async def test_client_ids(server, client_id, queue):
    """A client id may be any text."""
    queue.publish({"n": 1})
    reply = await server.get(f"/chat/room/poll?client_id={client_id}")
    assert (reply.status, reply.body) == (200, b'[{"n":1}]')
    await server.is_well()


@pytest.mark.parametrize("client_id", ["%00", "%0d%0aevil", "%1b]0;x%07", "%c2%85", "%c2%9b1m"])
@pytest.mark.gen_test
async def test_client_ids_in_the_log(server, client_id, queue, app):
    """If a callback raises an exception, the log line shows no raw text of the client."""
    queue.publish({"n": 1})
    client = await server.connect(
        f"GET /chat/room/mxhrpoll?client_id={client_id} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    )
    await client.read_until(b'{"n":1}')
    (member,) = queue.clients.values()

    def fail(*events):
        raise KeyError("on purpose")

    member.listener.call = fail
    queue.publish({"n": 2})
    (line,) = [line for name, line, trace in server.records.lines if trace]
    assert "room" in line
    # This traceback is expected, and no other.
    server.records.lines = [(n, text, False) for n, text, _ in server.records.lines]
    await server.is_well()


@pytest.mark.gen_test
async def test_what_a_handler_logs(server):
    """A parameter that a handler passes to `self.log` is logged as one line."""
    await server.get("/echo?log=a%0d%0aERROR%20root:%20forged%1b[31m")
    await server.is_well()

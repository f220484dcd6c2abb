"""Line ends in text for a header, a status line or an error cannot add a line."""

import pytest

EVIL = "a%0d%0aSet-Cookie:%20evil=1%0d%0a%0d%0a<script>"
LF = "a%0aSet-Cookie:%20evil=1"
CR = "a%0dSet-Cookie:%20evil=1"
NUL = "a%00b"


@pytest.mark.parametrize("text", [EVIL, LF, CR, NUL, "caf%c3%a9", "%e2%98%83", "%ff", "a" * 5000])
@pytest.mark.parametrize("place", ["X-A", "to"])
@pytest.mark.gen_test
async def test_in_a_header(server, place, text):
    """A header or redirect with the text is one line, or raises `ValueError`."""
    server.traces = True
    reply = await server.get(f"/echo?{place}={text}")
    assert "set-cookie" not in reply.headers
    assert b"<script>" not in reply.body
    assert reply.status in (200, 302, 500)
    assert (reply.status == 500) == any(trace for _, _, trace in server.records.lines)
    await server.is_well()


@pytest.mark.parametrize(
    "name", ["X-A%0d%0aSet-Cookie:%20evil=1%0d%0aX-B", "X-%20", "X-:", "X-%00"]
)
@pytest.mark.gen_test
async def test_in_the_name_of_a_header(server, name):
    """An invalid header name raises `ValueError`, the handler's mistake."""
    server.traces = True
    reply = await server.get(f"/echo?{name}=1")
    assert "set-cookie" not in reply.headers
    assert reply.status == 500
    await server.is_well()


@pytest.mark.parametrize("text", [EVIL, LF, CR, NUL, "%e2%98%83", "%3Cscript%3E", "a" * 5000])
@pytest.mark.parametrize("code", ["400", "404", "503", "299", "999"])
@pytest.mark.gen_test
async def test_in_an_error(server, text, code):
    """The message of an error is sent in the body as plain text, not in the status line."""
    reply = await server.get(f"/echo?error={text}&code={code}")
    assert reply.status == int(code)
    assert reply.headers["content-type"] == "text/plain; charset=UTF-8"
    assert "set-cookie" not in reply.headers
    assert "Set-Cookie" not in reply.line
    assert int(reply.headers["content-length"]) == len(reply.body)
    await server.is_well()


@pytest.mark.parametrize("text", [EVIL, LF, NUL, "%3Cscript%3E"])
@pytest.mark.gen_test
async def test_the_name_of_a_missing_parameter(server, text):
    """The answer names a missing parameter in plain text, but not a bad name of a room."""
    reply = await server.post(f"/chat/room/post?{text}=1", b"")
    assert (reply.status, reply.body) == (400, b"missing parameter: text")
    reply = await server.get(f"/chat/{text}")
    assert (reply.status, reply.body) == (404, b"404 Not Found")
    await server.is_well()


@pytest.mark.parametrize("value", [b"x\ry", b"x\x00y", b"x\x0by", b"x\x1by", b"x\x7fy", b"\xff"])
@pytest.mark.parametrize(
    "name", [b"Host", b"X-A", b"Last-Event-ID", b"Content-Type", b"If-None-Match"]
)
@pytest.mark.gen_test
async def test_in_a_request_header(server, name, value):
    """A malformed header is refused or ignored."""
    head = b"GET /chat/room/poll?client_id=a HTTP/1.1\r\n"
    if name != b"Host":
        head += b"Host: x\r\n"
    reply = await server.connect(head + name + b": " + value + b"\r\n\r\n")
    # Only a poll that is admitted may wait.
    await server.is_well()
    reply.close()


@pytest.mark.parametrize(
    "host", ["", "x:y", "[", "a b", "x/y", "x@y", "evil.example:99999", "x\\y"]
)
@pytest.mark.gen_test
async def test_hosts(server, host):
    """An invalid Host is refused or ignored."""
    reply = await server(f"GET /echo HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert reply.status in (200, 400)
    await server.is_well()

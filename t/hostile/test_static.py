"""No file outside of the static directory is served, however its path is spelled."""

import itertools

import pytest

UP = [
    "..",
    "%2e%2e",
    "..%2f..",
    ".%2e",
    "%2e.",
    "..%5c",
    "..\\",
    "%252e%252e",
    "%c0%ae%c0%ae",
    "..;",
]
TAILS = ["app.py", "templates/chat.html", "static/../app.py", "etc/passwd"]
SLASHES = ["/", "%2f", "//", "/./"]


@pytest.mark.parametrize("up", UP)
@pytest.mark.gen_test
async def test_no_way_up(server, up):
    """A path that leads upwards gets a 4xx, with one step or many."""
    for slash, tail in itertools.product(SLASHES, TAILS):
        for prefix in (up, slash.join([up] * 9), f"x{slash}{up}{slash}{up}"):
            path = f"/static/{prefix}{slash}{tail}"
            reply = await server.get(path)
            assert reply.status in (400, 403, 404), path
            assert b"Tatsumaki" not in reply.body, path
            assert b"root:" not in reply.body, path


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "//etc/passwd",
        "%2fetc%2fpasswd",
        "file:///etc/passwd",
        "",
        ".",
        "chat.js%00",
        "chat.js%00.css",
        "%00",
        "x" * 5000,
        "CON",
        "~root",
        "chat.js\\",
    ],
)
@pytest.mark.gen_test
async def test_what_is_no_file(server, path):
    """Absolute paths, directories, NUL and endless names get a 403 or 404."""
    reply = await server.get(f"/static/{path}")
    assert reply.status in (403, 404)
    await server.is_well()


@pytest.mark.parametrize(
    "header",
    [
        "Range: bytes=5-1",
        "Range: bytes=-",
        "Range: x",
        "Range: bytes=0-0,1-1",
        "Range: bytes=99999999999999999999-",
        "Range: bytes=\u0661-",
        "If-Modified-Since: x",
        "If-Modified-Since: Thu, 99 Foo 0000 00:00:00 GMT",
        'If-None-Match: "',
        "If-None-Match: " + "," * 5000,
    ],
)
@pytest.mark.gen_test
async def test_conditions(server, header):
    """Invalid conditions are ignored, and invalid ranges are refused."""
    reply = await server.get("/static/chat.js", header.encode())
    assert reply.status in (200, 206, 304, 400, 416)
    await server.is_well()


@pytest.mark.gen_test
async def test_other_methods(server):
    """Methods other than GET and HEAD are refused."""
    for method in ("POST", "PUT", "DELETE", "PATCH", "FOO"):
        reply = await server(
            f"{method} /static/chat.js HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode()
        )
        assert reply.status == 405
    await server.is_well()

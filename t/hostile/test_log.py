"""Control characters of a client reach no log, whichever handler is asked."""

import importlib.util
import re
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent / "log_program.py"
# A line end, an escape sequence, its one-character form, and a line end of Unicode.
EVIL = ["%0aFAKE", "%0d%0aERROR%20root:%20FAKE", "%1b[31m", "%c2%9b31m", "%e2%80%a8FAKE", "\x9b31m"]

# The answers do not matter here.
TARGETS = [
    "/static/..%2f{}",
    "/static/sub/{}/..",
    "/static/{}",
    "/files/..%2f{}",
    "/files/sub/{}/..",
    "/files/{}",
    "/js/..%2f{}",
    "/error/{}",
    "/redirect/{}",
    "/nowhere/{}",
    "/nowhere?{}",
    *(
        f"/{kind}/{how}/{{}}"
        for kind in ("plain", "ours")
        for how in ("http", "formatted", "error", "named", "template", "cookie", "missing")
    ),
]
HANDSHAKE = (
    b"Upgrade: websocket",
    b"Connection: Upgrade",
    b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


async def attack(server):
    """Sends all known attacks."""
    for text in EVIL:
        for target in TARGETS:
            await server.get(target.format(text))
        for kind in ("plain", "ours"):
            await server.post(f"/{kind}/x/{text}", b"a=1")
            await server.post(
                f"/{kind}/x/{text}", b"x", b"Content-Type: multipart/form-data; boundary=" + b"\x9b"
            )
        for path in ("/socket", "/plain-socket"):
            for origin in (b"http://a\x9b31m", b"http://\x85FAKE"):
                await server.get(f"{path}/{text}", *HANDSHAKE, b"Origin: " + origin)
            client = await server.connect(
                f"GET {path}/{text} HTTP/1.1\r\nHost: x\r\n".encode("latin-1")
                + b"\r\n".join([*HANDSHAKE, b"", b""])
            )
            await client.read_all()
    for bad in (b"GET /\x9b HTTP/1.1", b"G\x9bET / HTTP/1.1", b"GET / HTTP/1.\x9b"):
        await server(bad + b"\r\nHost: x\r\n\r\n")
    for bad in (b"X-\x9b: y", b"\x9b", b"Content-Length: \x9b1", b"Transfer-Encoding: \x9b"):
        await server.get("/plain/x/y", bad)


@pytest.fixture
def app(tmp_path):
    spec = importlib.util.spec_from_file_location("log_program", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.make_app(str(tmp_path))


@pytest.mark.gen_test
async def test_records(server):
    """No record contains a raw control character, whatever formatter is used."""
    server.traces = True
    await attack(server)
    assert any("FAKE" in line for _, line, _ in server.records.lines)


RECORD = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ [\w.]+: ")
# All except the line ends of the log itself.
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")


@pytest.mark.gen_test
async def test_process(serve_program, server):
    """Each line that `Server` writes to stderr is a record, or an indented line of a traceback."""
    program = serve_program(PROGRAM, traces=True)
    server.port = program.port
    await attack(server)
    text = program.stderr
    assert not CONTROL.search(text)
    lines = text.split("\n")[:-1]
    assert all(RECORD.match(line) or line.startswith("    ") for line in lines)
    assert any("ValueError: bad" in line for line in lines)
    assert sum("FAKE" in line for line in lines) > 100

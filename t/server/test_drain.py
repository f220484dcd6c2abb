"""After a signal, requests in flight are finished, or cut off and logged as cut off."""

import asyncio
import contextlib
import re
import signal
import socket
import time
from collections import Counter

import pytest
from support.program import received

from tatsumaki_py import Application, Handler, Server, life
from tatsumaki_py.server import drain
from tatsumaki_py.server.signals import REPEAT

PROGRAM = "t/server/draining.py"
released = []


def connect(port, request="", body=b""):
    """A client that has sent the beginning of a request."""
    client = socket.create_connection(("127.0.0.1", port), timeout=5)
    client.sendall(request.encode() + body)
    return client


def get(port, path, *fields):
    return connect(port, "\r\n".join([f"GET {path} HTTP/1.1", "Host: x", *fields, "", ""]))


def read(client, mark=None):
    """Returns the data up to `mark`, or up to the end."""
    return received(client, mark).decode("latin-1")


UPLOAD = "POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"
WEBSOCKET = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


@pytest.fixture
def clients():
    with contextlib.ExitStack() as clients:
        yield clients.enter_context


def test_requests_are_finished(serve_program, clients):
    """Requests in flight are finished after the server has stopped listening. The events that they
    publish reach the open streams before these end. Idle connections do not delay the stop.
    """
    program = serve_program(PROGRAM)
    port = program.port
    idle = clients(get(port, "/report?lines=0"))
    kept = clients(connect(port))
    for _ in range(2):
        kept.sendall(b"GET /slow?seconds=0 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read(kept, b"done").startswith("HTTP/1.1 200 OK")
    slow = clients(get(port, "/slow?seconds=0.7"))
    begun = clients(get(port, "/slow?seconds=0.7&begin=1"))
    publishes = clients(get(port, "/publishes?seconds=0.7"))
    report = clients(get(port, "/report?lines=30"))
    upload = clients(connect(port, UPLOAD, b"12345"))
    head = clients(connect(port, "GET /slow?seconds=0 HTTP/1.1\r\n"))
    poll = clients(get(port, "/events/hall?transport=long-poll"))
    sse = clients(get(port, "/events/room?transport=sse"))
    websocket = clients(get(port, "/events/room", *WEBSOCKET))
    read(begun, b"begun "), read(report, b"\r\n0\n"), read(sse, b"\n\n"), read(websocket, b'"}')
    began = time.monotonic()
    program.signal()
    assert read(kept) == ""
    assert time.monotonic() - began < 0.6
    read(idle)
    with pytest.raises(ConnectionRefusedError):
        connect(port)
    upload.sendall(b"67890")
    head.sendall(b"Host: x\r\n\r\n")
    for client, end in ((slow, "done"), (upload, "10 bytes"), (head, "done")):
        answer = read(client)
        assert answer.startswith("HTTP/1.1 200 OK")
        assert "Connection: close" in answer
        assert answer.endswith(end)
    assert read(begun).endswith("4\r\ndone\r\n0\r\n\r\n")
    assert read(report).endswith("3\r\n29\n\r\n0\r\n\r\n")
    assert read(publishes).endswith("done")
    answer = read(poll)
    assert "Connection: close" in answer
    assert "\r\nRetry-After: 1\r\n" in answer
    assert answer.endswith("\r\n\r\n[]")
    answer = read(sse)
    assert "the last word" in answer
    assert answer.endswith("\n\n\r\n0\r\n\r\n")
    (retry,) = map(int, re.findall(r"\nretry: (\d+)\n", answer))
    assert 500 <= retry <= 510
    assert f'"retry":{retry}}}' in answer
    answer = read(websocket, b"\x88\x02\x03\xe9")
    assert answer.index("the last word") < answer.index("\x88\x02\x03\xe9")
    websocket.sendall(b"\x88\x82\0\0\0\0\x03\xe9")
    assert websocket.recv(1000) == b""
    assert program.wait() == 0
    assert time.monotonic() - began < 4.5
    assert program.stdout.endswith("stopped\n")
    assert "cut" not in program.stderr
    assert " 503 " not in program.stderr


def test_requests_are_cut(serve_program, clients, monkeypatch):
    """Requests that last longer than `grace` are cut off: with a 503 if no part of the answer was
    sent. None is logged as 200.
    """
    monkeypatch.setenv("GRACE", "0.8")
    program = serve_program(PROGRAM)
    port = program.port
    slow = clients(get(port, "/slow?seconds=60"))
    begun = clients(get(port, "/slow?seconds=60&begin=1"))
    report = clients(get(port, "/report?lines=9999"))
    upload = clients(connect(port, UPLOAD, b"12345"))
    read(begun, b"begun "), read(report, b"\r\n0\n")
    began = time.monotonic()
    program.signal(signal.SIGINT)
    answer = read(slow)
    assert 0.7 < time.monotonic() - began < 3
    assert answer.startswith("HTTP/1.1 503 Service Unavailable")
    assert "Retry-After: 1" in answer
    assert "Connection: close" in answer
    assert answer.endswith("the server is stopping")
    assert not read(begun).endswith("0\r\n\r\n")
    assert not read(report).endswith("0\r\n\r\n")
    assert read(upload) == ""
    assert program.wait() == 0
    logged = program.stderr
    assert len(re.findall(r" 503 GET /(?:slow|report)", logged)) == 3
    assert " 200 " not in logged
    assert re.search(
        r"INFO tatsumaki: stopping: waiting for 4 requests in flight, for up to 0", logged
    )
    assert re.search(r"WARNING tatsumaki: cut after 0\.\d seconds: 4 requests and 0 st", logged)
    assert logged.count("\n") == 5


@pytest.mark.parametrize("path", ["/slow?seconds=60", "/blocking"])
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal(serve_program, clients, path, second):
    """A second signal stops the server immediately, even if its event loop is blocked."""
    program = serve_program(PROGRAM)
    clients(get(program.port, path))
    time.sleep(0.1)
    program.signal()
    # The first signal may be handled a little late.
    time.sleep(REPEAT + 0.2 if second == signal.SIGTERM else 0.1)
    began = time.monotonic()
    program.signal(second)
    assert program.wait() == 128 + second
    assert time.monotonic() - began < 3
    assert program.stderr.endswith("WARNING tatsumaki: stopped immediately by a second signal\n")
    assert program.stderr.count("\n") == 1


def test_a_second_signal_after_the_end(serve_program, clients, monkeypatch):
    """A second signal also ends a process that waits for a thread after its server has stopped."""
    monkeypatch.setenv("GRACE", "0.1")
    program = serve_program(PROGRAM)
    clients(get(program.port, "/thread"))
    time.sleep(0.1)
    program.signal(signal.SIGINT)
    while "stopped" not in program.stdout:
        time.sleep(0.01)
    time.sleep(REPEAT + 0.2)
    program.signal(signal.SIGINT)
    assert program.wait() == 130
    assert "KeyboardInterrupt" not in program.stderr


@pytest.mark.parametrize("run", [True, False])
def test_handlers_are_restored(run):
    """A program that continues after its server gets its own signal handlers back."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    server = Server("127.0.0.1", 0)
    app = Application()
    app.on_start(lambda: asyncio.get_running_loop().call_soon(server.stop))
    if run:
        server.run(app)
    else:
        asyncio.run(server.serve(app))
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


class Stubborn(Handler):
    async def get(self):
        while not released:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)


def test_a_task_that_ignores_its_cancellation(monkeypatch, expect_log, clients):
    """A task that ignores its cancellation does not keep the process alive, whether a request or
    the program started it.
    """
    monkeypatch.setattr(life, "STOP_TIME", 0.05)
    released.clear()
    server = Server("127.0.0.1", 0, grace=0)
    app = Application([("/", Stubborn)])
    asked, tasks = [], []

    async def stubborn():
        while not released:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)

    def begin():
        tasks.extend(asyncio.get_running_loop().create_task(stubborn()) for _ in range(2))
        asyncio.get_running_loop().call_later(0.01, ask)

    def ask():
        asked.append(clients(get(server.port, "/")))
        asyncio.get_running_loop().call_later(0.02, server.stop)

    app.on_start(begin)
    with (
        expect_log("tatsumaki", "cut after .*: 1 requests and 0 streams"),
        expect_log(
            "tatsumaki", r"3 tasks ignored .* 0\.05 seconds: RequestHandler\._execute > Stub"
        ) as records,
    ):
        server.run(app)
    assert len(records) == 1
    released.append(True)
    assert read(asked[0]).startswith("HTTP/1.1 503 ")


@pytest.mark.parametrize(
    ("clients", "longest", "last"), [(1, 30, 500), (10_000, 30, 10_500), (90_000, 30, 30_500)]
)
def test_clients_return_one_after_the_other(clients, longest, last):
    """The delays of clients are spread: at most a thousand clients return in one second, unless all
    of them would take longer than `drain_time`.
    """
    retry = drain._Retry(clients, longest)
    times = sorted(retry.next() for _ in range(clients))
    assert times[0] >= 500
    assert abs(times[-1] - last) < 2
    each = Counter(time // 100 for time in times)
    assert max(each.values()) - 2 <= max(100, clients // (longest * 10))
    assert retry.next() >= 500


@pytest.mark.parametrize("name", ["grace", "drain_delay", "drain_time"])
@pytest.mark.parametrize("value", [-1, "soon", float("inf"), float("nan"), None])
def test_bad_limits(name, value):
    """The error names the argument that is not a time."""
    with pytest.raises(ValueError, match=f"{name}= takes a number of seconds, 0 or more"):
        Server(**{name: value})

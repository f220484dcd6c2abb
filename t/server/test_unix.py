"""A server on a Unix socket: its file and its clients."""

import os
import signal
import socket
import stat
import sys

import pytest
from support.program import ROOT, STOP

from tatsumaki_py.server.addresses import Addresses, ListenError

PROGRAM = """
import sys
from tatsumaki_py import Application, Handler, MessageQueue, Server, SubscribeHandler

class Who(Handler):
    def get(self):
        env = self.request.env
        self.write([self.request.remote_ip, self.request.address, env["REMOTE_ADDR"],
            env["SERVER_NAME"], env["SERVER_PORT"]])

class Wait(Handler):
    async def get(self):
        self.write(await MessageQueue.instance("room").poll_once("me"))

class Publish(Handler):
    def post(self):
        MessageQueue.instance("room").publish("hello")

rules = [("/who", Who), ("/wait", Wait), ("/publish", Publish), (r"/events/(.*)", SubscribeHandler)]
Server(unix=sys.argv[1], mode=0o640, xheaders=True).run(Application(rules))
"""


@pytest.fixture
def addresses(tmp_path):
    """Binds a Unix socket, and closes it after the test."""
    made = []

    def make(path=tmp_path / "chat.sock", **options):
        made.append(Addresses(unix=path, **options))
        made[-1].bind()
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def serve(popen, tmp_path):
    """Starts the program, and returns the process and the path of its log."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)

    def start(path):
        return popen(sys.executable, program, path, cwd=ROOT), tmp_path / "log"

    return start


def connect(path):
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(5)
    try:
        client.connect(str(path))
    except BaseException:
        client.close()
        raise
    return client


def ask(path, request, *headers):
    """Sends a request and returns the whole answer."""
    with connect(path) as client:
        lines = [f"{request} HTTP/1.1", "Host: chat.example", "Connection: close", *headers]
        client.sendall("\r\n".join([*lines, "", ""]).encode())
        return read(client)


def read(client, until=None):
    """Reads to the end, or until the data contains `until`."""
    data = b""
    while until is None or until not in data:
        chunk = client.recv(65536)
        if not chunk:
            break
        data += chunk
    return data


def test_a_program(serve, tmp_path):
    """Requests, long polls and streams work over the socket. Its file has the mode, and is removed
    at the end.
    """
    path = tmp_path / "chat.sock"
    process, log = serve(path)
    assert process.stdout.readline() == f"Listening on unix:{path} (Ctrl-C stops)\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    # Tornado's address for a client without one, unless a proxy sends it.
    local = b'["0.0.0.0","0.0.0.0","0.0.0.0","chat.example","80"]'
    assert ask(path, "GET /who").replace(b", ", b",").endswith(local)
    remote = b'["192.0.2.7","192.0.2.7","192.0.2.7","chat.example","443"]'
    headers = ("X-Real-IP: 192.0.2.7", "X-Scheme: https")
    assert ask(path, "GET /who", *headers).replace(b", ", b",").endswith(remote)
    with connect(path) as waiting, connect(path) as stream:
        stream.sendall(b"GET /events/room HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
        read(stream, b"event: cursor")
        waiting.sendall(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
        ask(path, "GET /who")
        ask(path, "POST /publish")
        assert read(waiting, b'["hello"]').endswith(b'["hello"]')
        assert b'data: "hello"\n' in read(stream, b'"hello"')
    process.send_signal(signal.SIGTERM)
    assert process.wait(STOP) == 0
    assert process.stdout.read() == ""
    assert not path.exists()
    lines = log.read_text()
    assert "200 GET /who (0.0.0.0)" in lines
    assert "200 GET /who (192.0.2.7)" in lines
    assert "Traceback" not in lines


def test_stale(addresses, tmp_path):
    """The file of a socket on which no process listens is replaced."""
    path = tmp_path / "chat.sock"
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(path))
    addresses().listen()
    connect(path).close()


def test_live(addresses, tmp_path):
    """The file of a socket on which a process listens is kept, even if the backlog is full."""
    path = tmp_path / "chat.sock"
    (sock,) = addresses().listen()
    sock.listen(0)
    client = connect(path)
    with pytest.raises(ListenError) as caught:
        addresses()
    client.close()
    assert str(caught.value) == (
        f"Cannot listen on unix:{path}: another process listens there "
        "(unix from the argument unix=)"
    )
    assert path.exists()


def test_bound_before_it_listens(addresses, tmp_path):
    """No client can connect between `bind` and `listen`."""
    first = addresses()
    with pytest.raises(ConnectionRefusedError):
        connect(tmp_path / "chat.sock")
    first.listen()
    connect(tmp_path / "chat.sock").close()


def test_replaced_by_another(addresses, tmp_path):
    """If two servers start at the same time, the second one listens, and the first fails without
    removing the file.
    """
    first, second = addresses(), addresses()
    with pytest.raises(ListenError, match="another process has replaced the file"):
        first.listen()
    second.listen()
    first.close()
    connect(tmp_path / "chat.sock").close()
    second.close()
    assert not (tmp_path / "chat.sock").exists()


def test_another_directory(addresses, tmp_path, monkeypatch):
    """A relative path stays relative to the directory in which the server was bound."""
    monkeypatch.chdir(tmp_path)
    here = addresses("chat.sock")
    monkeypatch.chdir(ROOT)
    here.listen()
    here.close()
    assert not (tmp_path / "chat.sock").exists()


def test_another_process(addresses, tmp_path, monkeypatch):
    """A child process that closes its copy of the socket does not remove the file."""
    (sock,) = addresses().listen()
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: 1)
        sock.close()
    assert (tmp_path / "chat.sock").exists()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("file", "the file exists and is not a socket"),
        ("link", "the file exists and is not a socket"),
        ("missing/chat.sock", "No such file or directory"),
        ("x" * 200, "AF_UNIX path too long"),
    ],
)
def test_a_bad_path(addresses, tmp_path, name, reason):
    """A path that cannot be used causes a one-line error, and the file is not changed."""
    (tmp_path / "file").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    with pytest.raises(ListenError) as caught:
        addresses(tmp_path / name)
    line = f"Cannot listen on unix:{tmp_path}/{name}: {reason} (unix from the argument unix=)"
    assert str(caught.value) == line
    assert (tmp_path / "file").read_text() == "precious"


def test_together_with_tcp(addresses, tmp_path):
    """With `host` or `port`, the server listens on TCP and on the Unix socket."""
    both = addresses(host="127.0.0.1", port=0)
    assert [sock.family for sock in both.listen()] == [socket.AF_INET, socket.AF_UNIX]
    assert both.urls("http") == [f"http://127.0.0.1:{both.port}/", f"unix:{tmp_path}/chat.sock"]


def test_alone(addresses, monkeypatch):
    """Without `host` and `port`, the server listens on the Unix socket only, even if the
    environment sets a port.
    """
    monkeypatch.setenv("PORT", "0")
    alone = addresses()
    assert [sock.family for sock in alone.listen()] == [socket.AF_UNIX]
    assert alone.port is None

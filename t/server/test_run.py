"""Servers that run as processes: where they listen, and how they stop."""

import asyncio
import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
import time

import pytest
from support.program import ROOT, STOP, free_port, received

from tatsumaki_py import Application, Handler, Server
from tatsumaki_py.server.addresses import Addresses

PROGRAM = """
import asyncio
from tatsumaki_py import Application, Handler, MessageQueue, Server

class Poll(Handler):
    asynchronous = True

    def get(self):
        MessageQueue.instance("c").poll_once(self.request.param("id"), self.on_new_event)

    def on_new_event(self, *events):
        self.write(events)
        self.finish()

class Stream(Handler):
    asynchronous = True

    def get(self):
        self.multipart_xhr_push(True)
        MessageQueue.instance("c").poll(self.request.param("id"), self.stream_write)

class Awaits(Handler):
    async def get(self):
        self.write(await MessageQueue.instance("c").poll_once("awaits"))

class Sleeps(Handler):
    async def get(self):
        self.write("a")
        await self.flush()
        await asyncio.sleep(60)

class Clock(Handler):
    async def get(self):
        while True:
            await self.stream_write("x")
            await asyncio.sleep(0.01)

class Ping(Handler):
    def get(self):
        self.write("pong")

if __name__ == "__main__":
    classes = (Poll, Stream, Awaits, Sleeps, Clock, Ping)
    Server(**OPTIONS).run(Application([(f"/{cls.__name__}", cls) for cls in classes]))
"""


RELOADED = """
import word
from tatsumaki_py import Application, Handler, Server

class Word(Handler):
    def get(self):
        self.write(word.WORD)

Server().run(Application([("/", Word)], debug=True))
"""


@pytest.fixture
def write_program(tmp_path):
    def write(options=None):
        path = tmp_path / "server.py"
        path.write_text(PROGRAM.replace("OPTIONS", repr(options or {})))
        return path

    return write


def run(path, **environment):
    """Runs the server with these variables until it exits."""
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **environment}
    command = [sys.executable, str(path)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=10)


def connect(port, path):
    """A client that has requested `path`."""
    client = socket.create_connection(("127.0.0.1", port), timeout=5)
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return client


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stops_cleanly(serve_program, write_program, number):
    """After a signal, long polls are answered with no events, streams end, and the status is 0.
    Open connections do not keep the server alive.
    """
    program = serve_program(write_program({"grace": 0.2}))
    paths = ("/Poll?id=a", "/Stream?id=b", "/Awaits", "/Sleeps", "/Clock", "/Ping")
    clients = {path: connect(program.port, path) for path in paths}
    for path, mark in (("/Stream?id=b", b"--"), ("/Clock", b"x\r\n"), ("/Ping", b"pong")):
        received(clients[path], mark)
    received(clients["/Sleeps"], b"a\r\n")
    assert program.stop(number) == 0
    answers = {path: received(client) for path, client in clients.items() if path != "/Clock"}
    for client in clients.values():
        client.close()
    assert answers["/Poll?id=a"].endswith(b"\r\n\r\n[]")
    assert answers["/Awaits"].endswith(b"\r\n\r\n[]")
    assert answers["/Stream?id=b"].endswith(b"0\r\n\r\n")
    assert program.stdout.count("\n") == 1
    assert "Traceback" not in program.stderr, program.stderr
    assert " ERROR t" not in program.stderr.replace("ERROR tornado.access: 503", ""), program.stderr


def test_says_where(serve_program, write_program):
    """PORT and TATSUMAKI_HOST in the environment set the address, and one line prints it."""
    program = serve_program(write_program())
    assert program.stdout == f"Listening on {program.url} (Ctrl-C stops)\n"
    with connect(program.port, "/Ping") as client:
        assert received(client, b"pong")


def test_arguments_win(write_program):
    """The arguments `host` and `port` win over the environment."""
    port = free_port()
    path = write_program({"host": "127.0.0.1", "port": port})
    with subprocess.Popen(
        [sys.executable, str(path)],
        env={"PORT": "nonsense", "TATSUMAKI_HOST": "192.0.2.1", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        line = process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP) == 0
    assert line == f"Listening on http://127.0.0.1:{port}/ (Ctrl-C stops)\n"


def test_any_port(write_program):
    """With port 0, the server listens on any free port and prints it."""
    with subprocess.Popen(
        [sys.executable, str(write_program())],
        env={"PORT": "0", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        port = int(process.stdout.readline().split(":")[2].split("/")[0])
        with connect(port, "/Ping") as client:
            assert received(client, b"pong")
        process.send_signal(signal.SIGINT)
        assert process.wait(STOP) == 0


def test_port_in_use(write_program):
    """A port in use causes one line that names the fix, and status 1. TATSUMAKI_PORT wins over
    PORT.
    """
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run(write_program(), PORT="1", TATSUMAKI_PORT=str(port))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"Cannot listen on 127.0.0.1:{port}: Address already in use "
        "(host by default, port from TATSUMAKI_PORT in the environment). "
        f"Stop the program that uses port {port}, "
        "or choose another port with the argument port= or TATSUMAKI_PORT.\n"
    )


@pytest.mark.parametrize("port", ["abc", "-1", "65536", "1.5", "80a"])
def test_bad_port(write_program, port):
    """The error for a bad PORT in the environment names the value."""
    done = run(write_program(), PORT=port)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"PORT must be a number from 0 to 65535, not {port!r}\n"


@pytest.mark.parametrize("host", ["192.0.2.1", "a..b", "no such host"])
def test_bad_host(write_program, host):
    """The error for a host that is not this machine, or that has no address, names the host."""
    done = run(write_program(), PORT="5999", TATSUMAKI_HOST=host)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Cannot listen on {host}:5999: ")
    assert done.stderr.endswith(
        " (host from TATSUMAKI_HOST in the environment, port from PORT in the environment)\n"
    )
    assert done.stderr.count("\n") == 1


TCPI_UNACKED_AND_SACKED = slice(24, 32)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the backlog of a socket")
def test_backlog():
    """The backlog of a listening socket is 4096, or what the kernel allows if that is less."""
    with open("/proc/sys/net/core/somaxconn") as file:
        allowed = int(file.read())
    addresses = Addresses("127.0.0.1", 0)
    addresses.bind()
    (sock,) = addresses.listen()
    with sock:
        # Of a listening socket, tcpi_sacked is the backlog (tcp_diag does the same).
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 128)
    _, backlog = struct.unpack("II", info[TCPI_UNACKED_AND_SACKED])
    assert backlog == min(4096, allowed)


def test_autoreload(serve_program, tmp_path):
    """With `debug=True`, a program that `Server.run` serves restarts when its file changes."""
    (tmp_path / "word.py").write_text('WORD = "before"')
    path = tmp_path / "reloaded.py"
    path.write_text(RELOADED)
    program = serve_program(path)
    for word in ("before", "afterwards"):
        with connect(program.port, "/") as client:
            assert received(client, word.encode()).endswith(word.encode())
        (tmp_path / "word.py").write_text('WORD = "afterwards"')
        deadline = time.monotonic() + 5
        while program.stdout.count(program.url) < 2 and time.monotonic() < deadline:
            # The program must see the file once before it can notice a change.
            time.sleep(0.1)
            os.utime(tmp_path / "word.py")


@pytest.mark.parametrize("no_application", [None, [("/", Handler)], Application])
def test_no_application(no_application):
    """`Server.run` raises an error for anything that is not an application, before it listens."""
    with pytest.raises(TypeError, match=r"Server\.run takes an Application"):
        Server(port=0).run(no_application)


@pytest.mark.parametrize("reason", ["Broken pipe", "can't encode"])
def test_nothing_reads_stdout(monkeypatch, expect_log, reason, tmp_path):
    """A server that cannot print its address serves nevertheless, and logs the line."""
    reader, writer = os.pipe()
    os.close(reader)
    path = tmp_path / ("x" if reason == "Broken pipe" else "\xfc")
    server = Server(unix=path)

    async def main():
        asyncio.get_running_loop().call_later(0.05, server.stop)
        await server.serve(Application())

    # Closing the file writes the rest of the line.
    with contextlib.suppress(BrokenPipeError), open(writer, "w", encoding="ascii") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        with expect_log("tatsumaki", f"{reason}.*: Listening on unix:{path} "):
            asyncio.run(main())
